"""agelens by the protocol of the other estimators: paths on standard input, JSON lines out."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from service.inference.options import PredictOptions
from service.runtime.loading import load
from service.settings import load_settings


def main() -> None:
    """Answer each path with the largest face's age, or null, and the milliseconds it took."""
    pipeline = load(load_settings(threads=1)).make_predictor()
    for line in sys.stdin:
        began = time.perf_counter()
        faces = pipeline.predict(Path(line.strip()).read_bytes(), PredictOptions(), lambda: None, 50_000_000).faces
        took = (time.perf_counter() - began) * 1e3
        print(json.dumps({"age": faces[0].age if faces else None, "ms": took}), flush=True)


if __name__ == "__main__":
    main()
