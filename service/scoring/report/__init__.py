"""The HTML report of a scored archive."""
