"""Serves with a detector that never comes back from native code: `python -m tests.service.native_server MODELS_DIR`."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from onnxruntime import InferenceSession

from service.api.server import serve
from tests.service.doubles import load_double

SERVE_NATIVE = (sys.executable, "-m", "tests.service.native_server")


def main() -> int:
    models_dir = Path(sys.argv[1])
    session = InferenceSession(next(models_dir.glob("*.onnx")))
    (faces,) = session.get_inputs()
    _, height, width, channels = faces.shape
    many = {faces.name: np.zeros((64, height, width, channels), np.uint8)}

    def stay() -> None:
        sys.stdout.write('{"event": "at_gate"}\n')
        sys.stdout.flush()
        while True:
            session.run(None, many)

    return serve(load_models=load_double(models_dir, stay))


if __name__ == "__main__":
    sys.exit(main())
