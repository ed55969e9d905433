"""Serves with the doubles' detector: `python -m tests.service.double_server MODELS_DIR [FIFO]`."""

from __future__ import annotations

import sys
from pathlib import Path

from service.api.server import serve
from tests.service.doubles import load_double


def main() -> int:
    models_dir, *gate = (Path(argument) for argument in sys.argv[1:])

    def wait() -> None:
        for fifo in gate:
            sys.stdout.write('{"event": "at_gate"}\n')
            sys.stdout.flush()
            fifo.read_bytes()

    return serve(load_models=load_double(models_dir, wait))


if __name__ == "__main__":
    sys.exit(main())
