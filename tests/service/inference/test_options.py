from __future__ import annotations

import pytest
from pydantic import ValidationError

from service.inference.options import MOST_THRESHOLDS, PredictOptions

OPTIONAL = ("model", "min_face_size", "prior")


@pytest.mark.parametrize("name", OPTIONAL)
def test_an_option_that_may_be_left_out_may_be_none(name: str) -> None:
    assert PredictOptions.model_validate({name: None}) == PredictOptions()


def test_no_other_option_may_be_none() -> None:
    for name in PredictOptions.model_fields.keys() - set(OPTIONAL):
        with pytest.raises(ValueError, match=name):
            PredictOptions.model_validate({name: None})


def test_of_too_many_thresholds_only_as_many_are_read_as_it_takes_to_refuse_them() -> None:
    with pytest.raises(ValidationError) as refused:
        PredictOptions.model_validate({"thresholds": ",".join(["x"] * 10_000)})
    assert refused.value.error_count() == MOST_THRESHOLDS + 1
    with pytest.raises(ValidationError, match="at most 20"):
        PredictOptions.model_validate({"thresholds": ["18,25"] * 11})


@pytest.mark.parametrize("name", ["model", "prior"])
def test_a_name_that_is_empty_is_no_name(name: str) -> None:
    with pytest.raises(ValidationError, match="at least 1 character"):
        PredictOptions.model_validate({name: ""})


@pytest.mark.parametrize("given", ["18,25,18", ["18,25", 25], (18, 25, 18)])
def test_a_threshold_that_is_repeated_counts_once(given: object) -> None:
    assert PredictOptions.model_validate({"thresholds": given}).thresholds == (18, 25)
