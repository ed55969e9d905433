"""The shared libraries that mediapipe needs and no wheel carries: `python -m service.inference.native_libraries`."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Mapping
from typing import Final

from service.errors import SetupError

DEBIAN_PACKAGES: Final = {
    "libEGL.so.1": "libegl1",
    "libGLESv2.so.2": "libgles2",
}
"""Library → the Debian package that has it."""


def require_libraries(packages: Mapping[str, str] = DEBIAN_PACKAGES) -> None:
    """Raise SetupError naming each library that cannot be loaded, and the command that installs them."""
    missing = [name for name in packages if not _loads(name)]
    if missing:
        wanted = " ".join(packages[name] for name in missing)
        raise SetupError(
            f"mediapipe needs {' and '.join(missing)}, which this system lacks; "
            f"on Debian or Ubuntu: apt-get install {wanted}"
        )


def _loads(name: str) -> bool:
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


def main() -> int:
    """Say what is missing; return the exit status."""
    try:
        require_libraries()
    except SetupError as error:
        sys.stderr.write(f"agelens: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
