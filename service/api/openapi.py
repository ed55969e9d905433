"""The OpenAPI document: FastAPI's, plus the names and limits of the running service."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from service.inference.age_mix import RANGE
from service.settings import Settings


def describe(app: FastAPI, settings: Settings, models: Sequence[str]) -> dict[str, Any]:
    """Return the document of `app`, valid OpenAPI 3.1, with the loaded models' names and the settings' limits."""
    priors = ("uniform", *(pair.partition("=")[0] for pair in settings.priors))
    known = {
        "model": {"enum": list(models)} if models else {},
        "max_faces": {"maximum": settings.max_faces, "default": settings.max_faces},
        "prior": {"pattern": f"^({'|'.join([*map(re.escape, priors), RANGE])})$"},
        "min_face_size": {} if settings.min_face_size is None else {"default": settings.min_face_size},
    }
    document = get_openapi(
        title=app.title, version=app.version, summary=app.summary, description=app.description, routes=app.routes
    )
    for operations in document["paths"].values():
        for operation in operations.values():
            operation["summary"] = operation.pop("description").rstrip(".")
            for parameter in operation.get("parameters", ()):
                parameter["schema"] |= known.get(parameter["name"], {})
    return document
