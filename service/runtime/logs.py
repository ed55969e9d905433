"""Structured logs that show no picture, face or file name."""

from __future__ import annotations

import logging
import sys
import warnings
from pathlib import Path
from typing import Final, TextIO

import structlog
from structlog.tracebacks import ExceptionDictTransformer

log: Final = structlog.stdlib.get_logger("agelens.warnings")


def configure_logs(level: str, stream: TextIO = sys.stdout) -> None:
    """Log JSON lines to `stream`, those of uvicorn and other libraries as well."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False)),
    ]
    formatter = structlog.stdlib.ProcessorFormatter(
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, structlog.processors.JSONRenderer()],
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
            structlog.stdlib.filter_by_level,  # what nobody reads is not built
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    warnings.showwarning = _log_warning


def _log_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Log what a library warns of, which Python would write to standard error as text."""
    del file, line
    log.warning(
        "library_warning", warning=str(message), category=category.__name__, module=Path(filename).stem, line=lineno
    )
