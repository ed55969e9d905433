"""ONNX Runtime as the service uses it, with one arena for all sessions. Import `ort` from here only.

Without its telemetry, which would keep an identifier on disk and call home.
"""

from __future__ import annotations

import os
from functools import cache

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # read while the library is loaded, so before the import

import onnxruntime as ort

__all__ = ["ort", "session_options"]


def session_options(threads: int = 1) -> ort.SessionOptions:
    """Return options of a session whose calls `threads` threads work on, and whose buffers are the process's.

    Fresh pages cost more than what is computed in them: half of a face proposal's time, a quarter of an estimate's.
    An arena keeps them, and one for all sessions grows to what is in use at once, not to the sum of all models.
    """
    _share_arena()
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.add_session_config_entry("session.use_env_allocators", "1")
    options.log_severity_level = 3
    return options


@cache
def _share_arena() -> None:
    # Grow by what is asked for: the default, powers of two, would keep up to twice of it.
    growth = {"max_mem": 0, "arena_extend_strategy": 1, "initial_chunk_size_bytes": -1, "max_dead_bytes_per_chunk": -1}
    memory = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
    ort.create_and_register_allocator(memory, ort.OrtArenaCfg(growth))
