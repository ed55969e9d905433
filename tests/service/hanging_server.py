"""Serves with decoders that hang on certain pictures: `python -m tests.service.hanging_server MODELS_DIR`."""

from __future__ import annotations

import sys
from pathlib import Path

from service.api.server import serve
from tests.service.doubles import load_double

HANGING = (sys.executable, "-m", "tests.service.hanging_decoder")
SERVE_HANGING = (sys.executable, "-m", "tests.service.hanging_server")

if __name__ == "__main__":
    sys.exit(serve(load_models=load_double(Path(sys.argv[1]), decoders=HANGING)))
