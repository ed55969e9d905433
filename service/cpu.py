"""Count the processors that CPU affinity and the container's CPU quota leave to this process."""

from __future__ import annotations

import math
import os
from pathlib import Path


def available_cpus(root: Path = Path("/sys/fs/cgroup"), membership: Path = Path("/proc/self/cgroup")) -> int:
    """Count the processors that affinity and every enclosing cgroup's CPU quota leave, at least one.

    A quota of two and a half processors counts as two: what is left over runs the event loop.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = [quota for folder in _folders(root, membership) if (quota := _quota(folder)) is not None]
    return max(1, min([allowed, *(math.floor(quota) for quota in quotas)]))


def _folders(root: Path, membership: Path) -> list[Path]:
    """List the process's cgroup folders from the innermost to the root; v2 first, then the v1 `cpu` hierarchy."""
    folders: list[Path] = []
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        base = root if not controllers else root / "cpu" if "cpu" in controllers.split(",") else None
        if base is not None:
            inner = base / path.lstrip("/")
            folders += [inner, *(parent for parent in inner.parents if parent.is_relative_to(base))]
    return [*folders, root, root / "cpu"]


def _quota(folder: Path) -> float | None:
    try:
        if (folder / "cpu.max").is_file():
            quota, period = (folder / "cpu.max").read_text().split()
        else:
            quota = (folder / "cpu.cfs_quota_us").read_text().strip()
            period = (folder / "cpu.cfs_period_us").read_text().strip()
    except OSError:
        return None
    return None if quota in ("max", "-1") else float(quota) / float(period)
