"""Structured logs, without pictures, faces or file names."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from pathlib import Path
from typing import Final, TextIO

import structlog
from structlog.tracebacks import ExceptionDictTransformer

log: Final = structlog.stdlib.get_logger("agelens.warnings")


def configure_logs(level: str, stream: TextIO = sys.stdout) -> None:
    """Log to `stream`, also what uvicorn and other libraries log: JSON lines, or readable ones on a terminal."""
    chain: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        *(_readable() if stream.isatty() else _json()),
    ]
    *shared, renderer = chain
    formatter = structlog.stdlib.ProcessorFormatter(
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        foreign_pre_chain=shared,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    logging.basicConfig(handlers=[handler], level="WARNING", force=True)
    for name in ("agelens", "uvicorn"):
        logging.getLogger(name).setLevel(level.upper())
    logging.getLogger("python_multipart").setLevel("ERROR")  # its warnings quote the body
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,  # build no line that is not logged
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    warnings.showwarning = _log_warning


def _json() -> list[structlog.typing.Processor]:
    """Return time stamp, exceptions and renderer for a program that reads the log."""
    return [
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False)),
        structlog.processors.JSONRenderer(),
    ]


def _readable() -> list[structlog.typing.Processor]:
    """Return time stamp and renderer for a person at a terminal, coloured unless NO_COLOR is set (no-color.org)."""
    return [
        structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False),
        structlog.dev.ConsoleRenderer(
            colors=not os.environ.get("NO_COLOR"),
            exception_formatter=structlog.dev.plain_traceback,  # rich's would show local variables
        ),
    ]


def _log_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Log a library's warning, which Python would write to standard error as text."""
    del file, line
    log.warning(
        "library_warning", warning=str(message), category=category.__name__, module=Path(filename).stem, line=lineno
    )
