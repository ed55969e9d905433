"""ONNX Runtime without its telemetry: it would keep an identifier on disk and call home. Import it from here only."""

from __future__ import annotations

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # read while the library is loaded, so before the import

import onnxruntime as ort

__all__ = ["ort"]
