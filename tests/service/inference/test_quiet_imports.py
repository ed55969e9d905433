"""What importing the service does not do: call home, or load what only draws."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def _printed(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def test_onnx_runtime_is_loaded_without_telemetry() -> None:
    assert _printed("import os, service.inference.estimator; print(os.environ.get('ORT_DISABLE_TELEMETRY'))") == "1"


def test_nothing_else_loads_onnx_runtime_first() -> None:
    sources = [path for package in ("service", "training") for path in (ROOT / package).rglob("*.py")]
    importing = {path.name for path in sources if re.search(r"(?m)^(import|from) onnxruntime", path.read_text())}
    assert importing == {"onnx_session.py"}


def test_the_service_is_loaded_without_mediapipe_and_what_it_drags_in() -> None:
    code = (
        "import sys, service.api.server, service.inference.detection.detector; "
        "print([m for m in sys.modules if m.split('.')[0] in ('mediapipe', 'matplotlib', 'tensorflow', 'jax', 'onnx')])"
    )
    assert _printed(code) == "[]"


def test_a_process_that_decodes_loads_only_what_decoding_takes() -> None:
    code = (
        "import sys, service.runtime.decoder_child; "
        "print([m for m in ('cv2', 'pydantic', 'onnxruntime', 'fastapi') if m in sys.modules], 'numpy' in sys.modules)"
    )
    assert _printed(code) == "[] True"
