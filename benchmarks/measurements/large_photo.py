"""A 12-megapixel photograph: the whole request against Pillow's full decode alone. Runs itself pinned."""

from __future__ import annotations

import io
import json
import sys
import time

from PIL import Image
from rich.console import Console

from benchmarks.figures import Findings, Spread
from benchmarks.peers.same_pipeline import answer, open_pipeline
from benchmarks.pictures import large_photo
from benchmarks.pinned import ask, cores
from benchmarks.scale import Scale


def run(scale: Scale, console: Console) -> Findings:
    """Take turns of both in one process, and compare each turn with itself."""
    found = ask("benchmarks.measurements.large_photo", str(max(3, scale.repeats // 10)), core=cores()[0])
    whole, decode = Spread(tuple(found["whole_ms"])), Spread(tuple(found["decode_ms"]))
    console.print(f"12 megapixels: {whole.median:.0f} ms in all, full decode alone {decode.median:.0f} ms")
    ratio = Spread(tuple(one / other for one, other in zip(found["whole_ms"], found["decode_ms"], strict=True)))
    details = {"whole_ms": whole.facts(), "decode_ms": decode.facts(), "ratio": ratio.facts()}
    return Findings(
        {"large_photo_over_decode": ratio.median}, {"large_photo": {**details, "bytes": len(large_photo())}}
    )


def main() -> None:
    """Time COUNT turns; print JSON."""
    picture = large_photo()
    pipeline = open_pipeline()
    turns: dict[str, list[float]] = {"whole_ms": [], "decode_ms": []}
    for _ in range(int(sys.argv[1]) + 1):
        began = time.perf_counter()
        reply = answer(pipeline, picture)
        reply.model_dump_json()
        middle = time.perf_counter()
        Image.open(io.BytesIO(picture)).load()
        turns["decode_ms"].append((time.perf_counter() - middle) * 1e3)
        turns["whole_ms"].append((middle - began) * 1e3)
    kept = {name: values[1:] for name, values in turns.items()}  # the first turn warms caches
    sys.stdout.write("\n" + json.dumps({**kept, "faces": len(reply.faces)}) + "\n")


if __name__ == "__main__":
    main()
