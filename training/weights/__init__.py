"""Pretrained weights: download and load them."""

from typing import Final

TERMS: Final = {
    "dlib": "CC0",
    "imagenet": "non-commercial research",
    "vggface2": "research; cite Cao et al. (2018)",
    "imdbwiki": "research; cite Rothe et al. (2018); from VGGFace2's",
}
"""Terms of use by what the weights were trained on."""
