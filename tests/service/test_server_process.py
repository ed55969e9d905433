"""The server that other tests run beside themselves ends with them, or they fail."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.server_process import ROOT, run_server

DEAF = """
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print('{"event": "listening", "port": 1}\\n{"event": "ready"}', flush=True)
signal.pause()
"""


def test_server_that_does_not_end_is_killed_and_fails_the_test() -> None:
    killed = pytest.raises(AssertionError, match="was killed: it did not end within 0 s")
    with run_server([sys.executable, "-c", DEAF]) as server, killed:
        server.stop(patience_s=0)
    assert server.process.returncode < 0


def test_server_that_ends_badly_fails_the_test() -> None:
    refused = pytest.raises(AssertionError, match="ended with status -15")
    with run_server([sys.executable, "-c", DEAF.replace("SIG_IGN", "SIG_DFL")]) as server, refused:
        server.stop()


def test_the_browsers_tests_load_no_native_library_of_the_service() -> None:
    listed = "import sys, tests.browser.conftest; print({'cv2', 'mediapipe', 'onnxruntime'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", listed], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
