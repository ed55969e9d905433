"""Faces cut out and stored, and the batches made of them."""
