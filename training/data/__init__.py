"""Faces cut out and stored, and the batches made of them."""

from typing import Final

MARGIN: Final = 0.04
"""Around a face's box in a store, in box widths, where nothing else is said."""

BLEED: Final = 30
"""Pixels kept around the crop for augmentation, where nothing else is said: of 160 a side."""
