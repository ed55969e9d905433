"""Ages from photographs: clients of the HTTP service, and the pipeline for use without one.

Names are imported when first used, so that the clients need httpx and pydantic and nothing else.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from service.client import (
        AsyncClient,
        Client,
        ClientError,
        InvalidOption,
        Retry,
        ServiceProblem,
        ServiceUnreachable,
        UnexpectedReply,
    )
    from service.inference.options import PredictOptions
    from service.inference.pipeline import Pipeline, open_pipeline

    __version__: str

__all__ = [
    "AsyncClient",
    "Client",
    "ClientError",
    "InvalidOption",
    "Pipeline",
    "PredictOptions",
    "Retry",
    "ServiceProblem",
    "ServiceUnreachable",
    "UnexpectedReply",
    "__version__",
    "open_pipeline",
]
_MODULES: Final = {
    "service.client": {
        "AsyncClient",
        "Client",
        "ClientError",
        "InvalidOption",
        "Retry",
        "ServiceProblem",
        "ServiceUnreachable",
        "UnexpectedReply",
    },
    "service.inference.options": {"PredictOptions"},
    "service.inference.pipeline": {"Pipeline", "open_pipeline"},
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return version("agelens")
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(module), name)
    raise AttributeError(f"module 'agelens' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
