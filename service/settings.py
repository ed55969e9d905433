"""Everything that can be configured: environment variables with the prefix AGELENS_, read once, frozen."""

from __future__ import annotations

import os
import re
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from service.cpu import available_cpus
from service.errors import InvalidSetting
from service.inference.decoding.limits import MAX_DECODE_MB, MAX_DECODE_S, DecodeLimits
from service.inference.lockfile import default_models_dir
from service.inference.options import LEAST_FACE

PREFIX: Final = "AGELENS_"
_FOREIGN: Final = ("AGELENS_SERVICE_", "AGELENS_PORT_", "AGELENS_WEIGHTS_")
"""Prefixes of variables that are not settings of the service: Kubernetes sets the first two for a Service called
`agelens`; `agelens-train` reads the last."""
_OTHER_SERVICE: Final = re.compile(r"(AGELENS_\w+)_SERVICE_HOST")
"""What Kubernetes sets, beside variables that begin alike, for a Service called `agelens-…`."""

_BLANKS: Final = ", \t\r\n"
_ORIGIN: Final = re.compile(r"\*|null|(?!http://.*:80$)(?!https://.*:443$)[a-z][a-z0-9+.-]*://[a-z0-9._:\[\]-]+")
"""What a browser sends as `Origin`, with which the setting is compared letter by letter."""

Names = Annotated[tuple[str, ...], NoDecode]
"""Comma-separated in the environment."""

Seconds = Annotated[float, Field(ge=0.001, le=3600, allow_inf_nan=False)]


class Settings(BaseSettings):
    """The service's settings; each field is the variable `AGELENS_` + its name in capitals."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid", protected_namespaces=())

    host: str = Field("127.0.0.1", description="address to listen on; 0.0.0.0: all addresses of this machine")
    port: int = Field(8000, ge=0, le=65535, description="port to listen on; 0: any free port")

    models_dir: Path | None = Field(
        None, description="folder with models.lock.json; default: the one that comes with agelens"
    )
    models: Names = Field(
        (), description="names of the models to load; default: those marked as default in models.lock.json"
    )
    default_model: str | None = Field(None, description="model that answers requests without `model`")
    priors: Names = Field(
        (), description="mixes of ages that requests may name as `prior`: name=file.csv, with the columns age and share"
    )
    providers: Names = Field(("CPUExecutionProvider",), description="ONNX Runtime execution providers, best first")

    threads: int = Field(default_factory=available_cpus, ge=1, le=256, description="worker threads; default: CPU quota")
    intra_op_threads: int = Field(1, ge=1, le=64, description="ONNX Runtime threads per estimate")
    queue_size: int = Field(64, ge=1, le=10_000, description="pictures that may wait for a worker thread")
    deadline_s: Seconds = Field(30.0, description="most seconds from the end of a request's body to its answer")
    batch_deadline_s: Seconds = Field(120.0, description="most seconds from the end of a batch's body to its answer")
    stuck_after_s: Seconds = Field(
        120.0, description="seconds a thread may spend on one picture before /health/ready answers 503"
    )
    drain_grace_s: float = Field(
        25.0,
        ge=0,
        le=3600,
        allow_inf_nan=False,
        description="seconds to finish accepted pictures after SIGTERM, SIGINT or SIGHUP",
    )

    max_body_bytes: int = Field(20 * 2**20, ge=1024, le=2**30, description="largest /predict body, in bytes")
    max_batch_bytes: int = Field(128 * 2**20, ge=1024, le=2**33, description="largest /predict/batch body, in bytes")
    max_batch_parts: int = Field(64, ge=1, le=1000, description="most pictures in a batch")
    max_buffered_bytes: int = Field(
        512 * 2**20, ge=1024, le=2**36, description="most bytes of request bodies in memory at once"
    )
    max_pixels: int = Field(
        50_000_000,
        ge=1024,
        le=30_000**2,
        description="most pixels decoded per picture; larger JPEGs are decoded at a smaller scale",
    )
    max_decode_s: float = Field(
        MAX_DECODE_S, ge=0.001, le=60, description="most processor time for decoding one picture, in seconds"
    )
    max_decode_mb: int = Field(
        MAX_DECODE_MB, ge=64, le=2**20, description="most memory for decoding, all threads together, in megabytes"
    )
    max_faces: int = Field(100, ge=1, le=1000, description="most faces returned per picture")
    min_face_size: float | None = Field(
        None,
        ge=LEAST_FACE,
        le=10_000,
        allow_inf_nan=False,
        description=f"smallest face to search for, {LEAST_FACE} pixels or more; default: 16 or, if more, 1/80 of the "
        "longer side (1/40 of the shorter one if that is less)",
    )
    max_views: int = Field(
        64, ge=1, le=1000, description="most views of 512 pixels in which a picture is searched for faces"
    )
    detector: Literal["onnxruntime", "mediapipe"] = Field(
        "onnxruntime",
        description="runtime of the face detector; mediapipe needs the extra `mediapipe`",
    )

    max_connections: int = Field(
        1000,
        ge=8,
        le=100_000,
        description="most open connections; fewer if the limit of open files is too low for them",
    )
    max_header_bytes: int = Field(
        32 * 1024, ge=1024, le=2**20, description="largest request head (request line and headers), in bytes"
    )
    header_timeout_s: Seconds = Field(10.0, description="seconds for a request's head to arrive")
    body_timeout_s: Seconds = Field(30.0, description="seconds for a request's body to arrive")
    write_timeout_s: Seconds = Field(30.0, description="seconds a client may leave an answer unread")
    keep_alive_s: int = Field(10, ge=1, le=3600, description="seconds an idle connection is kept")

    api_keys: Names = Field((), repr=False, description="API keys; clients must send one of them")
    api_keys_file: Path | None = Field(
        None, description="file with one API key or # comment per line, read again when it changes"
    )
    rate_limit_per_minute: int | None = Field(
        None, ge=1, le=1_000_000, description="pictures per minute for each API key; large ones count as several"
    )
    cors_origins: Names = Field(
        (), description="origins whose web pages may call the service, as https://example.com, or * for all"
    )

    docs: bool = Field(True, description="serve /docs and /openapi.json")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="lowest level that is logged")
    traces: bool = Field(False, description="send OpenTelemetry traces; needs the extra `otel`")

    @field_validator("log_level", mode="before")
    @classmethod
    def _lower(cls, value: object) -> object:
        return value.strip().lower() if isinstance(value, str) else value

    @field_validator("models", "priors", "providers", "api_keys", "cors_origins", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(item.strip() for item in value.split(",") if item.strip())
        return value

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_blank(cls, value: object) -> object:
        """Refuse a variable that is set but empty: a missing secret must not open the service to everybody.

        Validators before the type run from the last to the first: this one sees the text as it was set.
        """
        if isinstance(value, str) and not value.strip(_BLANKS):
            raise ValueError("it is set but empty; set a value or unset it")
        return value

    @field_validator("cors_origins")
    @classmethod
    def _as_browsers_send_them(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        for origin in origins:
            if not _ORIGIN.fullmatch(origin):
                raise ValueError(
                    f"{origin} is not an origin; write scheme and host only, as https://example.com, in small letters "
                    "(ASCII, as xn--…), without * and without the port that the scheme has anyway"
                )
        return origins

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.max_batch_parts > self.queue_size + self.threads:
            raise ValueError(
                f"AGELENS_MAX_BATCH_PARTS ({self.max_batch_parts}) must not exceed "
                f"AGELENS_QUEUE_SIZE + AGELENS_THREADS ({self.queue_size + self.threads}), "
                "or a full batch could never be admitted"
            )
        if self.max_batch_bytes > self.max_buffered_bytes or self.max_body_bytes > self.max_buffered_bytes:
            raise ValueError(
                "AGELENS_MAX_BODY_BYTES and AGELENS_MAX_BATCH_BYTES must not exceed AGELENS_MAX_BUFFERED_BYTES"
            )
        if self.rate_limit_per_minute and not (self.api_keys or self.api_keys_file):
            raise ValueError(
                "AGELENS_RATE_LIMIT_PER_MINUTE counts per API key: "
                "set AGELENS_API_KEYS or AGELENS_API_KEYS_FILE as well"
            )
        return self

    @property
    def decode_limits(self) -> DecodeLimits:
        """What decoding one picture may take."""
        return DecodeLimits(self.max_decode_s, self.max_decode_mb * 2**20)

    @property
    def models_folder(self) -> Path:
        """`models_dir`, or the folder that comes with agelens."""
        return self.models_dir or default_models_dir()


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
    services = [found[1] for variable in os.environ if (found := _OTHER_SERVICE.fullmatch(variable))]
    foreign = (*_FOREIGN, *(f"{service}_{part}" for service in services for part in ("SERVICE_", "PORT")))
    for variable in sorted(os.environ):
        name = variable.upper()  # as it is read, whatever its case
        if name.startswith(PREFIX) and name not in known and not name.startswith(foreign):
            near = get_close_matches(name.removeprefix(PREFIX), [each.removeprefix(PREFIX) for each in known], 1)
            remedy = f"did you mean {PREFIX}{near[0]}?" if near else "`agelens settings` lists them all"
            raise InvalidSetting(f"{variable} is not a setting; {remedy}")


def _explain(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    message = str(first["msg"]).removeprefix("Value error, ")
    if not first["loc"]:
        return f"the settings contradict each other: {message}"
    name = str(first["loc"][0])
    meaning = Settings.model_fields[name].description if name in Settings.model_fields else "no such setting"
    remedy = "; set enableServiceLinks: false in Kubernetes" if name == "port" else ""
    return f"{PREFIX}{name.upper()} ({meaning}) cannot be used: {message}{remedy}"
