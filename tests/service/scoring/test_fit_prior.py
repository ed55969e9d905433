"""The mix of ages of an archive, found in its rows; the real runtime behind a detector's double."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from service.errors import InvalidParameter
from service.inference.age_mix import FEWEST, fit_mix, mix_in, mix_of, stated_for
from service.inference.options import PredictOptions
from service.scoring.command import ScoreCommand
from service.scoring.fit_prior import FILE, write_prior
from service.scoring.parts import write_part
from tests.service.doubles import grey
from tests.service.scoring.doubles import THREADS, middle_face

AGES = np.arange(101)
OWN = mix_of(np.exp(-((AGES - 32) ** 2) / 400))


def bell(age: int) -> np.ndarray:
    weights = np.exp(-((AGES - age) ** 2) / 18) * OWN
    return np.asarray(weights / weights.sum())


def write_rows(folder: Path, ages: list[int], fmt: str) -> None:
    rows = [
        {
            "id": str(number),
            "status": "ok",
            "face": 0,
            "threshold_probabilities": (1 - np.cumsum(bell(age))[:-1]).clip(0, 1).round(6).tolist(),
        }
        for number, age in enumerate(ages)
    ]
    write_part(folder / f"part-x.{fmt}", [*rows, {"id": "none", "status": "no_face"}], fmt, ())  # type: ignore[arg-type]


@pytest.mark.parametrize("fmt", ["parquet", "jsonl"])
def test_the_mix_of_an_archive_is_written_as_a_table_that_a_prior_can_be(tmp_path: Path, fmt: str) -> None:
    rng = np.random.default_rng(0)
    ages = rng.normal(12, 3, 2000).round() + rng.normal(0, 3, 2000).round()  # what is seen of children is 3 years off
    write_rows(tmp_path, ages.clip(0, 100).astype(int).tolist(), fmt)
    path, found = write_prior(tmp_path, fmt, OWN)  # type: ignore[arg-type]
    assert path == tmp_path / FILE
    np.testing.assert_allclose(mix_in(path), found.mix, rtol=1e-4)
    assert found.faces == 2000
    assert found.mix @ AGES == pytest.approx(12, abs=0.5)
    assert bell(18) @ AGES > stated_for(bell(18), OWN, found.mix) @ AGES + 0.5


def test_the_rows_distributions_are_read_whole_from_the_youngest_to_the_oldest(tmp_path: Path) -> None:
    ages = [0, 100] * 150
    write_rows(tmp_path, ages, "parquet")
    _, found = write_prior(tmp_path, "parquet", OWN)
    np.testing.assert_allclose(found.mix, fit_mix(np.stack([bell(age) for age in ages]), OWN).mix, atol=1e-3)
    assert min(found.mix[0], found.mix[100]) > 0.02


def test_too_few_faces_make_no_mix(tmp_path: Path) -> None:
    write_rows(tmp_path, [30] * (FEWEST - 1), "parquet")
    with pytest.raises(InvalidParameter, match=f"at least {FEWEST} faces"):
        write_prior(tmp_path, "parquet", OWN)


@pytest.mark.parametrize(
    ("options", "fmt", "message"),
    [
        (PredictOptions(fields="summary"), "parquet", "leave --fields at all"),
        (PredictOptions(), "csv", "--format parquet or jsonl"),
        (PredictOptions(), "parquet", "does not say which mix"),
    ],
)
def test_what_cannot_be_fitted_is_refused_before_anything_is_scored(
    tmp_path: Path, models_dir: Path, options: PredictOptions, fmt: str, message: str
) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.png").write_bytes(grey(51))
    command = ScoreCommand(
        str(tmp_path / "photos"), tmp_path / "out", fmt, THREADS,  # type: ignore[arg-type]
        options=options, models_dir=models_dir, pipeline=middle_face, fit_prior=True,
    )  # fmt: skip
    with pytest.raises(InvalidParameter, match=message):
        command.run(Console(file=io.StringIO()))
    assert not list((tmp_path / "out").glob("part-*"))
