"""ONNX Runtime's execution providers: those it was built with, and plugins that packages of their own bring."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from service.errors import ContractBroken
from service.onnx_runtime import ort

PLUGINS: Final[dict[str, str]] = {"OpenVINOExecutionProvider": "onnxruntime_ep_openvino"}
"""Provider → the package that brings it."""


def open_session(path: Path, options: ort.SessionOptions, names: Sequence[str]) -> ort.InferenceSession:
    """Open a model file on these providers, best first.

    Raises ContractBroken naming providers that cannot be used here, or a file that cannot be loaded.
    """
    plugged = _plugged(names)
    try:
        if not plugged:
            return ort.InferenceSession(path.read_bytes(), options, providers=list(names))
        for name in names:
            if name in plugged:
                options.add_provider_for_devices(plugged[name][:1], {})
            else:
                options.add_provider(name, {})
        return ort.InferenceSession(path.read_bytes(), options)
    except Exception as error:  # ONNX Runtime's exceptions share no base of their own
        raise ContractBroken(f"{path.name} is not an ONNX file that ONNX Runtime can load: {error}") from error


def _plugged(names: Sequence[str]) -> dict[str, list[Any]]:
    """Return the devices of each provider that is a plugin; raise ContractBroken where one of all has none."""
    built_in = ort.get_available_providers()
    plugged = {name: _devices(name) for name in names if name in PLUGINS and name not in built_in}
    missing = [name for name in names if name not in built_in and not plugged.get(name)]
    if missing:
        raise ContractBroken(
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
