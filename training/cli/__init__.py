"""The command `agelens-train`."""
