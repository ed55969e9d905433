"""Fit the number of connections to the limit of open files."""

from __future__ import annotations

import resource
from typing import Final

import structlog

from service.errors import InvalidSetting

log: Final = structlog.stdlib.get_logger("agelens.server")

_KEPT_FILES: Final = 32
_KEPT_FILES_PER_THREAD: Final = 4
"""Files for all else: an idle server has some 20 open, and two for each thread and its decoder."""
LEAST_CONNECTIONS: Final = 8


def connections_that_fit(wanted: int, threads: int) -> int:
    """Raise the soft limit of open files to the hard one; return `wanted`, or fewer connections if more do not fit.

    Raises InvalidSetting if the limit is too low to serve at all.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard == resource.RLIM_INFINITY:
        return wanted
    kept = _KEPT_FILES + _KEPT_FILES_PER_THREAD * threads
    fit = min(wanted, hard - kept)
    while fit + lingering_connections(fit) > hard - kept:
        fit -= 1
    if fit < LEAST_CONNECTIONS:
        least = kept + LEAST_CONNECTIONS + lingering_connections(LEAST_CONNECTIONS)
        raise InvalidSetting(f"this process may open {hard} files; serving needs at least {least} (ulimit -n)")
    if fit < wanted:
        log.warning("connections_limited", max_connections=fit, wanted=wanted, open_files=hard)
    return fit


def lingering_connections(most: int) -> int:
    """Return how many refused connections beyond `most` may stay open until they have read the refusal."""
    return min(100, most // 8)
