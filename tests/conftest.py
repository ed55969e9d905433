"""What all tests share."""

import os
import sys

import pytest
from hypothesis import HealthCheck, settings

# A busy machine must not fail a property: no deadlines, no complaint about slow drawing.
settings.register_profile("agelens", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("agelens")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Keep the status for the end."""
    session.config.stash[_STATUS] = int(exitstatus)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """End at once: an interpreter that ends with mediapipe loaded was seen to hang for an hour, all tests passed."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(config.stash.get(_STATUS, 1))


_STATUS = pytest.StashKey[int]()
