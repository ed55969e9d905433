"""Everything that can be configured: environment variables with the prefix AGELENS_, read once, frozen."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from service.cpu import available_cpus
from service.errors import InvalidSetting

PREFIX: Final = "AGELENS_"
_FOREIGN: Final = ("AGELENS_SERVICE_", "AGELENS_PORT_", "AGELENS_WEIGHTS_")
"""No settings of the service: Kubernetes injects the first two where a Service is called `agelens`; the last one is
`agelens-train`'s."""

Names = Annotated[tuple[str, ...], NoDecode]
"""Comma-separated in the environment."""


class Settings(BaseSettings):
    """The service's settings; each field is the variable `AGELENS_` + its name in capitals."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid", protected_namespaces=())

    host: str = Field("127.0.0.1", description="address to listen on; 0.0.0.0 for every one")
    port: int = Field(8000, ge=0, le=65535, description="port to listen on; 0 takes a free one")

    models_dir: Path | None = Field(None, description="folder with models.lock.json; default: the one shipped")
    models: Names = Field((), description="models to load by name; default: those the lock marks as default")
    default_model: str | None = Field(None, description="model that answers when the caller names none")
    providers: Names = Field(("CPUExecutionProvider",), description="ONNX Runtime execution providers, best first")

    threads: int = Field(default_factory=available_cpus, ge=1, le=256, description="worker threads; default: CPU quota")
    intra_op_threads: int = Field(1, ge=1, le=64, description="ONNX Runtime threads within one estimate")
    queue_size: int = Field(64, ge=1, le=10_000, description="pictures that may wait for a worker thread")
    deadline_s: float = Field(30.0, gt=0, le=3600, description="seconds from a complete body to the answer")
    batch_deadline_s: float = Field(120.0, gt=0, le=3600, description="the same for a batch")
    stuck_after_s: float = Field(120.0, gt=0, description="seconds with one picture after which a thread is not ready")
    drain_grace_s: float = Field(25.0, ge=0, le=3600, description="seconds that accepted work has after SIGTERM")

    max_body_bytes: int = Field(20 * 2**20, ge=1024, description="bytes of a /predict body")
    max_batch_bytes: int = Field(128 * 2**20, ge=1024, description="bytes of a /predict/batch body")
    max_batch_parts: int = Field(64, ge=1, le=1000, description="pictures in a batch")
    max_buffered_bytes: int = Field(512 * 2**20, ge=1024, description="bytes of all bodies in memory at once")
    max_pixels: int = Field(
        50_000_000,
        ge=1,
        description="pixels of a picture as it is decoded; a JPEG is decoded smaller where it has more",
    )
    max_faces: int = Field(100, ge=1, le=1000, description="faces answered per picture")
    min_face_size: float | None = Field(
        None, ge=0, description="pixels of the smallest face's box; default: 16, or an 80th of the longer side"
    )
    max_views: int = Field(64, ge=1, le=1000, description="views of 512 pixels that a picture is searched in at most")
    detector: Literal["onnxruntime", "mediapipe"] = Field(
        "onnxruntime", description="what runs the face detector; mediapipe needs the extra `mediapipe`"
    )

    max_connections: int = Field(1000, ge=8, le=100_000, description="open connections")
    max_header_bytes: int = Field(32 * 1024, ge=1024, le=2**20, description="bytes of a request's head")
    header_timeout_s: float = Field(10.0, gt=0, description="seconds for a request's head to arrive")
    body_timeout_s: float = Field(30.0, gt=0, description="seconds for a request's body to arrive")
    write_timeout_s: float = Field(30.0, gt=0, description="seconds a caller may leave an answer unread")
    keep_alive_s: int = Field(10, ge=1, description="seconds an idle connection is kept")

    api_keys: Names = Field((), repr=False, description="keys of which a caller must send one")
    api_keys_file: Path | None = Field(None, description="file with one key a line, read again when it changes")
    rate_limit_per_minute: int | None = Field(None, ge=1, description="pictures a minute for each key")
    cors_origins: Names = Field((), description="origins whose pages may call, or *")

    docs: bool = Field(True, description="serve /docs and /openapi.json")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="least level that is logged")
    traces: bool = Field(False, description="send OpenTelemetry traces; needs the extra `otel`")

    @field_validator("models", "providers", "api_keys", "cors_origins", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(item.strip() for item in value.split(",") if item.strip())
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.max_batch_parts > self.queue_size + self.threads:
            raise ValueError(
                f"max_batch_parts ({self.max_batch_parts}) must not exceed queue_size + threads "
                f"({self.queue_size + self.threads}), or a full batch could never be admitted"
            )
        if self.max_batch_bytes > self.max_buffered_bytes or self.max_body_bytes > self.max_buffered_bytes:
            raise ValueError("max_body_bytes and max_batch_bytes must not exceed max_buffered_bytes")
        if self.rate_limit_per_minute and not (self.api_keys or self.api_keys_file):
            raise ValueError("rate_limit_per_minute counts per API key: set api_keys or api_keys_file as well")
        return self


def load_settings(**overrides: Any) -> Settings:
    """Read the settings from the environment; `overrides` win. Raise InvalidSetting naming variable and remedy."""
    given = {name: value for name, value in overrides.items() if value is not None}
    _refuse_unknown()
    try:
        return Settings(**given)
    except ValidationError as error:
        raise InvalidSetting(_explain(error)) from None


def _refuse_unknown() -> None:
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    for variable in sorted(os.environ):
        if variable.startswith(PREFIX) and variable not in known and not variable.startswith(_FOREIGN):
            raise InvalidSetting(f"{variable} is no setting; `agelens settings` lists them all")


def _explain(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    message = str(first["msg"]).removeprefix("Value error, ")
    if not first["loc"]:
        return f"the settings contradict each other: {message}"
    name = str(first["loc"][0])
    meaning = Settings.model_fields[name].description if name in Settings.model_fields else "no such setting"
    remedy = "; set enableServiceLinks: false in Kubernetes" if name == "port" else ""
    return f"{PREFIX}{name.upper()} ({meaning}) cannot be used: {message}{remedy}"
