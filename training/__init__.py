"""Train age models on labelled faces: datasets, training, calibration, evaluation, export."""

from __future__ import annotations

import os

# Off by default on AMD processors, where it doubles TensorFlow's speed; it must be set before TensorFlow is imported.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
