"""The mix of ages of an archive, found in its rows; the real runtime behind a detector's double."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from service.errors import InvalidParameter
from service.inference.age_mix import FEWEST, fit_mix, mix_in, mix_of, named_mix, stated_for
from service.inference.lockfile import ModelLock
from service.inference.options import PredictOptions
from service.scoring.command import SOME_NOT_SCORED, ScoreCommand
from service.scoring.fit_prior import FILE, write_prior
from service.scoring.parts import write_part
from tests.service.doubles import grey
from tests.service.scoring.doubles import THREADS, middle_face
from tests.tiny_model import brightness_manifest, lock_entry, write_brightness_model

AGES = np.arange(101)
OWN = mix_of(np.exp(-((AGES - 32) ** 2) / 400))


def bell(age: int) -> np.ndarray:
    weights = np.exp(-((AGES - age) ** 2) / 18) * OWN
    return np.asarray(weights / weights.sum())


def write_rows(folder: Path, ages: list[int], fmt: str, told: Callable[[int], np.ndarray] = bell) -> None:
    rows = [
        {
            "id": str(number),
            "status": "ok",
            "face": 0,
            "threshold_probabilities": (1 - np.cumsum(told(age))[:-1]).clip(0, 1).round(6).tolist(),
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


@pytest.mark.parametrize("scored_before", [False, True])
def test_an_archive_is_fitted_from_the_mix_that_its_model_states_whether_it_is_scored_already_or_not(
    tmp_path: Path, scored_before: bool
) -> None:
    greys = [40, 41, 42, 43, 44] * 42
    photos, models, out = tmp_path / "photos", tmp_path / "models", tmp_path / "out"
    photos.mkdir()
    for number, level in enumerate(greys):
        (photos / f"{number}.png").write_bytes(grey(level))
    models.mkdir()
    manifest = brightness_manifest().model_copy(update={"age_mix": tuple(OWN.tolist())})
    write_brightness_model(models / "brightness.onnx", manifest)
    ModelLock(files=(lock_entry(models / "brightness.onnx", default=True),)).write(models)

    def score(fit_prior: bool, prior: str | None = None) -> str:
        said = io.StringIO()
        ScoreCommand(
            str(photos), out, "parquet", THREADS, options=PredictOptions(prior=prior), models_dir=models,
            pipeline=middle_face, fit_prior=fit_prior,
        ).run(Console(file=said))  # fmt: skip
        return said.getvalue()

    if scored_before:
        score(fit_prior=False)
    assert "mix of ages of 210 faces" in score(fit_prior=True)
    found = mix_in(out / FILE)
    np.testing.assert_allclose(found, write_prior(out, "parquet", OWN)[1].mix, rtol=1e-4)
    assert np.abs(found - write_prior(out, "parquet", mix_of(np.ones(101)))[1].mix).sum() > 0.01
    with pytest.raises(InvalidParameter, match="stated_for"):
        score(fit_prior=True, prior="10-20")


def test_rows_that_are_stated_for_a_range_give_a_mix_within_it(tmp_path: Path) -> None:
    narrow = named_mix("10-20")
    rng = np.random.default_rng(0)
    looks = rng.normal(14, 1, 400).round().astype(int).tolist()
    write_rows(tmp_path, looks, "parquet", lambda age: stated_for(bell(age), OWN, narrow))
    _, found = write_prior(tmp_path, "parquet", narrow)
    assert found.mix[10:21].sum() == pytest.approx(1, abs=1e-3)
    assert found.mix @ AGES == pytest.approx(14, abs=0.5)


def test_too_few_faces_for_a_mix_cost_neither_rows_nor_report(tmp_path: Path, models_dir: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.png").write_bytes(grey(51))
    said, out = io.StringIO(), tmp_path / "out"
    command = ScoreCommand(
        str(tmp_path / "photos"), out, "parquet", THREADS, models_dir=models_dir, pipeline=middle_face,
        fit_prior=True, report=True,
    )  # fmt: skip
    assert command.run(Console(file=said)) == SOME_NOT_SCORED
    assert "no mix of ages was written: a mix of ages needs at least 200 faces" in said.getvalue()
    assert not (out / FILE).exists()
    assert (out / "report.html").exists()


@pytest.mark.parametrize(
    ("options", "fmt", "message"),
    [
        (PredictOptions(fields="summary"), "parquet", "leave --fields at all"),
        (PredictOptions(), "csv", "--format parquet or jsonl"),
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
