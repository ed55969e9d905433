"""How fast the pipeline is in one process, by stage: what every server is held to. Run pinned, by `pinned.ask`."""

from __future__ import annotations

import json
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Final

from benchmarks.figures import Spread
from benchmarks.peers.same_pipeline import open_pipeline
from service.api.schemas import PredictReply
from service.api.uploads import MultipartImages
from service.inference.options import PredictOptions

STAGES: Final = ("receive", "decode", "detect", "crop", "estimate", "serialise")
_BOUNDARY: Final = b"agelens-benchmark"
_BODY_CHUNK: Final = 65536


def form(picture: bytes) -> bytes:
    """Build the multipart body of one photograph."""
    head = b'Content-Disposition: form-data; name="file"; filename="a.jpg"\r\nContent-Type: image/jpeg\r\n\r\n'
    return b"--" + _BOUNDARY + b"\r\n" + head + picture + b"\r\n--" + _BOUNDARY + b"--\r\n"


CONTENT_TYPE: Final = b"multipart/form-data; boundary=" + _BOUNDARY


def main() -> None:
    """Time the stages of one picture: FILE COUNT; print their medians in milliseconds and the whole's."""
    body, count = form(Path(sys.argv[1]).read_bytes()), int(sys.argv[2])
    pipeline = open_pipeline()
    options, max_pixels = PredictOptions(), 50_000_000
    rounds: dict[str, list[float]] = defaultdict(list)
    for number in range(count + 3):
        began = time.perf_counter()
        parser = MultipartImages(_BOUNDARY, "file", 1)
        for start in range(0, len(body), _BODY_CHUNK):
            parser.feed(body[start : start + _BODY_CHUNK])
        (upload,) = parser.finish()
        received = time.perf_counter()
        prediction = pipeline.predict(upload.data, options, lambda: None, max_pixels)
        predicted = time.perf_counter()
        PredictReply.of(prediction, PredictOptions(), "request").model_dump_json().encode()
        ended = time.perf_counter()
        if number < 3:
            continue  # the first ones warm caches
        for stage in STAGES[1:-1]:
            rounds[stage].append(prediction.timings_ms[stage])
        rounds["receive"].append((received - began) * 1e3)
        rounds["serialise"].append((ended - predicted) * 1e3)
        rounds["whole"].append((ended - began) * 1e3)
    facts = {name: Spread(tuple(rounds[name])).facts() for name in (*STAGES, "whole")}
    sys.stdout.write("\n" + json.dumps({"faces": len(prediction.faces), "stages_ms": facts}) + "\n")


if __name__ == "__main__":
    main()
