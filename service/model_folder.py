"""Where the models lie when no setting says so."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).parent


def default_models_dir() -> Path:
    """Return the folder that the wheel carries, or `models/` of the checkout."""
    carried = _PACKAGE / "_models"
    return carried if carried.is_dir() else _PACKAGE.parent / "models"
