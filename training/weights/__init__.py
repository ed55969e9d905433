"""Pretrained weights: download and load them."""

from typing import Final

TERMS: Final = {
    "dlib": "CC0",
    "imagenet": "non-commercial research",
    "vggface2": "research; cite Cao et al. (2018)",
}
"""Terms of use by what the weights were trained on."""
