"""Which pages go back to the system and which stay, and what an orphan does, each in a process of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

LARGE_BUFFERS = """
import resource, sys
import numpy as np
from service.runtime.native import return_large_buffers

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()

assert "hold" in sys.argv or return_large_buffers()
np.ones(30 * 2**20, np.uint8)  # freed at once: glibc takes its size as the new bound
before = resident()
between = [np.ones(8 * 2**20, np.uint8), np.ones(1000, np.uint8)]
kept = between.pop()
between.clear()
print((resident() - before) / 2**20)
"""


def printed(program: str, *arguments: str) -> list[float]:
    done = subprocess.run([sys.executable, "-c", program, *arguments], check=True, capture_output=True, text=True)
    return [float(word) for word in done.stdout.split()]


def test_a_large_buffer_goes_back_to_the_system_when_it_is_freed() -> None:
    (given_back,), (held,) = printed(LARGE_BUFFERS), printed(LARGE_BUFFERS, "hold")
    assert given_back < 2
    assert held > 6


SMALLER_BUFFERS = """
import resource, threading
import numpy as np
from service.runtime.native import return_large_buffers

return_large_buffers()

def work():
    for count in (5, 20):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(count):
            buffers = [np.ones(2**20, np.uint8) for _ in range(3)]
            del buffers
    print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / 20)

thread = threading.Thread(target=work)
thread.start()
thread.join()
"""


def test_a_thread_keeps_the_pages_of_smaller_buffers() -> None:
    (faults,) = printed(SMALLER_BUFFERS)
    assert faults < 50  # 224 where the free end of a heap goes back each time


FRESH_PAGES = """
import resource
import numpy as np
from service.inference.estimator import Estimator
from service.inference.lockfile import ModelLock, verified_path
from service.runtime.native import return_large_buffers
from service.inference.lockfile import default_models_dir
from service.inference.detection.face_proposals import FaceProposals

return_large_buffers()
folder = default_models_dir()
entry = ModelLock.read(folder).of_kind("model")[0]
estimator, proposals = Estimator(verified_path(folder, entry), entry.sha256), FaceProposals(folder)
size = estimator.manifest.crop.size
faces, picture = np.zeros((4, size, size, 3), np.uint8), np.zeros((384, 512, 3), np.uint8)
for run in (lambda: estimator.estimate(faces), lambda: proposals.answer(picture)):
    for _ in range(5):
        run()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        run()
    print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / 20)
"""


def test_a_network_keeps_the_pages_of_its_buffers_from_one_run_to_the_next() -> None:
    estimate, propose = printed(FRESH_PAGES)
    # Without the arena they take 2,500 and 1,900 fresh pages each time.
    assert estimate < 400
    assert propose < 200


FREED = """
import resource, sys
import numpy as np
from service.runtime.native import return_free_memory, return_large_buffers

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()

return_large_buffers()
before = resident()
buffers = [np.ones(2**17, np.uint8) for _ in range(160)]
last = np.ones(2**17, np.uint8)
buffers.clear()
assert "hold" in sys.argv or return_free_memory()
print((resident() - before) / 2**20)
"""


def test_what_loading_left_free_goes_back_to_the_system() -> None:
    (given_back,), (held,) = printed(FREED), printed(FREED, "hold")
    assert given_back < 4
    assert held > 16


SHAPES = """
import resource, sys
import numpy as np
from service.inference.detection.face_proposals import FaceProposals
from service.inference.lockfile import default_models_dir
from service.runtime.native import return_free_memory, return_large_buffers

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()

return_large_buffers()
proposals = FaceProposals(default_models_dir())
return_free_memory()
before = resident()
for width in (256, 320, 384, 448, 512) if "all" in sys.argv else (512,):
    proposals.answer(np.zeros((width, width, 3), np.uint8))
print((resident() - before) / 2**20)
"""


def test_pictures_of_many_shapes_take_no_more_memory_than_the_largest() -> None:
    (largest,), (several,) = printed(SHAPES), printed(SHAPES, "all")
    assert largest > 5
    assert several < 2 * largest  # 2.5 times where the arena grows by what is asked for


KEPT = """
import sys, tracemalloc
from service.inference.lockfile import ModelLock, default_models_dir, verified_path
from service.inference.onnx_session import open_session, session_options

folder = default_models_dir()
path = verified_path(folder, ModelLock.read(folder).of_kind("model")[0])
tracemalloc.start()
session = open_session(path, session_options(), ["CPUExecutionProvider"])
print(tracemalloc.get_traced_memory()[0] / path.stat().st_size)
"""


def test_a_session_keeps_no_copy_of_its_file() -> None:
    (share,) = printed(KEPT)
    assert share < 0.1


@pytest.mark.parametrize(("parent", "status"), [("os.getppid()", 0), ("os.getpid()", 1)])
def test_an_orphan_ends_at_once(parent: str, status: int) -> None:
    program = f"import os; from service.runtime.native import end_with_parent; end_with_parent({parent})"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == status
