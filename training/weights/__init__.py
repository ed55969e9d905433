"""Pretrained weights: which there are, how they are fetched and read."""
