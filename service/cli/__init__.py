"""The command `agelens`."""
