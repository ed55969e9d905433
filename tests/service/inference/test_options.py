from __future__ import annotations

import pytest

from service.inference.options import PredictOptions

OPTIONAL = ("model", "min_face_size", "prior")


@pytest.mark.parametrize("name", OPTIONAL)
def test_an_option_that_may_be_left_out_may_be_none(name: str) -> None:
    assert PredictOptions.model_validate({name: None}) == PredictOptions()


def test_no_other_option_may_be_none() -> None:
    for name in PredictOptions.model_fields.keys() - set(OPTIONAL):
        with pytest.raises(ValueError, match=name):
            PredictOptions.model_validate({name: None})
