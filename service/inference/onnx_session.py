"""ONNX Runtime as the service uses it, with one arena for all sessions. Import `ort` from here only.

Without its telemetry, which would keep an identifier on disk and call home.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from service.errors import InvalidModelFile

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # read while the library is loaded, so before the import

import onnxruntime as ort

__all__ = ["ort", "session_options"]


def session_options(threads: int = 1) -> ort.SessionOptions:
    """Return options of a session whose calls `threads` threads work on, and whose buffers are the process's.

    Fresh pages cost more than what is computed in them: half of a face proposal's time, a quarter of an estimate's.
    An arena keeps them, and one for all sessions grows to what is in use at once, not to the sum of all models.
    It is asked for each buffer by itself: one block for a whole call, planned by its shape, would be no faster and
    fit that shape only.
    """
    _share_arena()
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.enable_mem_pattern = False
    options.add_session_config_entry("session.use_env_allocators", "1")
    options.log_severity_level = 3
    return options


@cache
def _share_arena() -> None:
    # Grow by powers of two, in which buffers of any shape find room: pages that nobody touched cost nothing.
    growth = {"max_mem": 0, "arena_extend_strategy": 0, "initial_chunk_size_bytes": -1, "max_dead_bytes_per_chunk": -1}
    memory = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
    ort.create_and_register_allocator(memory, ort.OrtArenaCfg(growth))


PLUGINS: Final[dict[str, str]] = {"OpenVINOExecutionProvider": "onnxruntime_ep_openvino"}
"""Provider → the package that brings it."""

OPTIONS: Final[dict[str, dict[str, str]]] = {
    "OpenVINOExecutionProvider": {
        "load_config": '{"CPU": {"INFERENCE_PRECISION_HINT": "f32"}, "GPU": {"INFERENCE_PRECISION_HINT": "f32"}}'
    }
}
"""Provider → what it is told. OpenVINO's own choice is bfloat16 where a processor has it, whatever a file says, and
that moves ages by up to 0.7 years; a provider may leave it the choice or not."""


def open_session(path: Path, options: ort.SessionOptions, names: Sequence[str]) -> ort.InferenceSession:
    """Open a model file on these providers, best first. By its path: ONNX Runtime keeps bytes that it is given.

    Raises InvalidModelFile naming providers that cannot be used here, or a file that cannot be loaded.
    """
    plugged = _plugged(names)
    try:
        if not plugged:
            told = [(name, OPTIONS.get(name, {})) for name in names]
            session = ort.InferenceSession(path, options, providers=told, enable_fallback=0)
        else:
            for name in names:
                if name in plugged:
                    options.add_provider_for_devices(plugged[name][:1], OPTIONS.get(name, {}))
                else:
                    options.add_provider(name, OPTIONS.get(name, {}))
            session = ort.InferenceSession(path, options)
    except Exception as error:  # ONNX Runtime's exceptions share no base of their own
        raise InvalidModelFile(f"{path.name} is not an ONNX file that ONNX Runtime can load: {error}") from error
    # One that cannot start here is left out without a word, and all runs on the next one.
    lacking = [name for name in names if name not in plugged and name not in session.get_providers()]
    if lacking:
        raise InvalidModelFile(
            f"AGELENS_PROVIDERS names {', '.join(lacking)}, which is installed but could not start here: ONNX Runtime "
            "says why on standard error, often for want of a processor or driver"
        )
    return session


def _plugged(names: Sequence[str]) -> dict[str, list[Any]]:
    """Return the devices of each provider that is a plugin; raise InvalidModelFile where one of all has none."""
    built_in = ort.get_available_providers()
    plugged = {name: _devices(name) for name in names if name in PLUGINS and name not in built_in}
    missing = [name for name in names if name not in built_in and not plugged.get(name)]
    if missing:
        raise InvalidModelFile(
            f"AGELENS_PROVIDERS names {', '.join(missing)}, which is not installed or knows no processor here; "
            f"there are {', '.join(built_in)}"
        )
    return plugged


@cache
def _devices(name: str) -> list[Any]:
    """Load a plugin and return what it can run on, CPUs first; nothing where it is not installed."""
    try:
        ort.register_execution_provider_library(name, import_module(PLUGINS[name]).get_library_path())
    except ImportError:
        return []
    found = [device for device in ort.get_ep_devices() if device.ep_name == name]
    return sorted(found, key=lambda device: bool(device.device.type != ort.OrtHardwareDeviceType.CPU))
