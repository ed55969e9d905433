"""The files that are shipped, not doubles: each loads, warms up and answers as it did when it was signed off."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from tests.service.inference.shipped_distributions import ENTRIES, RECORD, answers

RECORDED: dict[str, dict[str, Any]] = json.loads(RECORD.read_text())


def test_the_record_is_of_the_files_that_are_locked() -> None:
    """After a model was replaced: `python -m tests.service.inference.shipped_distributions`."""
    assert {file: facts["sha256"] for file, facts in RECORDED.items()} == {each.file: each.sha256 for each in ENTRIES}


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.file)
def test_a_shipped_model_answers_as_it_did(entry: Any) -> None:
    recorded = np.array(RECORDED[entry.file]["age_pmf"])
    assert np.ptp(recorded @ np.arange(101)) > 1, "different pictures must have given different ages"
    # Processors add up eight-bit products in another order and precision.
    assert answers(entry) == pytest.approx(recorded, abs=0.01 if "int8" in entry.file else 1e-4)
