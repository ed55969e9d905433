"""Stores, splits, order, and batches that do not depend on where a run was cut."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from service.errors import FileMissing
from training.data.augment import NO_AUGMENTATION, Augmentation
from training.data.store import Batch, FaceSet, FaceStore, ahead, mixed, order, steps_in_epoch, train_batches
from training.data.synthetic import synthetic_store


@pytest.fixture
def faces(store_path: Path) -> FaceSet:
    return FaceStore.open(store_path).select("train")


def batches(faces: FaceSet, epoch: int = 0, start: int = 0) -> list[Batch]:
    return list(train_batches(faces, 32, 8, Augmentation(), "uniform", 1, epoch, start))


def test_a_split_has_its_own_faces(store_path: Path) -> None:
    store = FaceStore.open(store_path)
    assert {split: len(store.select(split)) for split in ("train", "val", "calib", "test", "x")} == {
        "train": 70, "val": 10, "calib": 10, "test": 10, "x": 0
    }  # fmt: skip


def test_faces_are_the_centre_of_the_stored_crop(faces: FaceSet) -> None:
    assert (faces.faces(np.array([3]), 32)[0] == faces.wide(3)[6:38, 6:38]).all()


def test_labels_stay_with_their_faces_over_several_stores(store_path: Path, tmp_path: Path) -> None:
    other = FaceStore.open(synthetic_store(tmp_path, 20, size=32, bleed=6, seed=9, source="other"))
    joined = FaceSet.joined([FaceStore.open(store_path).select("val"), other.select("val")])
    assert len(joined) == 12
    assert joined.rows[10]["source"] == "other"
    assert (joined.wide(10) == other.faces[int(joined.rows[10]["row"])]).all()


def test_a_left_out_picture_is_not_read(tmp_path: Path) -> None:
    synthetic_store(tmp_path, 20, size=32, bleed=6)
    lines = (tmp_path / "index.csv").read_text().splitlines()
    lines[1] = "," + lines[1].split(",", 1)[1]
    (tmp_path / "index.csv").write_text("\n".join(lines))
    assert len(FaceStore.open(tmp_path).rows) == 19


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileMissing, match=r"store\.json.*agelens-train prepare"):
        FaceStore.open(tmp_path)


def test_an_epoch_takes_every_face_once_in_its_own_order(faces: FaceSet) -> None:
    first, second = order(faces, "uniform", 1, 0), order(faces, "uniform", 1, 1)
    assert sorted(first) == sorted(second) == list(range(70))
    assert (first != second).any()


def test_a_run_that_starts_inside_an_epoch_sees_the_same_batches(faces: FaceSet) -> None:
    whole, rest = batches(faces), batches(faces, start=5)
    assert len(whole) == steps_in_epoch(faces, 8) == 8
    assert len(rest) == 3
    assert all((one.faces == other.faces).all() for one, other in zip(whole[5:], rest, strict=True))
    assert (whole[5].faces != whole[6].faces).any()


def test_a_batch_holds_the_labels_of_its_faces(faces: FaceSet) -> None:
    batch = batches(faces)[2]
    assert (batch.low == faces.low[batch.places]).all()
    assert (batch.high == faces.high[batch.places]).all()


def test_a_mixed_face_is_a_blend_with_its_partner(faces: FaceSet) -> None:
    batch = batches(faces)[0]
    blended = mixed(batch, 1.0, (1, 2))
    assert blended.shares is not None
    assert 0.5 <= blended.shares.min() < 0.8 < blended.shares.max() <= 1
    shares = blended.shares[:, None, None, None]
    expected = shares * batch.faces + (1 - shares) * batch.faces[blended.partners]
    assert np.abs(blended.faces - expected).max() <= 0.5
    assert (blended.faces != batch.faces).any()
    assert (blended.places == batch.places).all()


def test_a_framed_face_is_cut_and_mixed_alike_with_its_light_as_it_was(faces: FaceSet) -> None:
    turned = replace(NO_AUGMENTATION, flip_share=0.5, shift=0.1)
    brighter = replace(turned, gamma=0.5)
    (plain, *_), (worn, *_) = (
        list(train_batches(faces, 32, 8, strength, "uniform", 1, 0, mixing=0.5, framed=True))
        for strength in (turned, brighter)
    )
    assert worn.framed is not None
    assert (worn.framed == plain.faces).all()
    assert (worn.framed != worn.faces).any()
    assert batches(faces)[0].framed is None


def test_a_run_that_starts_inside_a_mixed_epoch_sees_the_same_batches(faces: FaceSet) -> None:
    whole, rest = (
        list(train_batches(faces, 32, 8, Augmentation(), "uniform", 1, 0, start, mixing=0.5)) for start in (0, 5)
    )
    assert all((one.faces == other.faces).all() for one, other in zip(whole[5:], rest, strict=True))
    assert whole[5].shares is not None
    assert (whole[5].shares != whole[6].shares).any()


def test_the_next_epoch_changes_the_faces_again(faces: FaceSet) -> None:
    assert (batches(faces)[0].faces != batches(faces, epoch=1)[0].faces).any()


def test_square_root_sampling_draws_rare_ages_more_often(store_path: Path) -> None:
    store = FaceStore.open(store_path)
    rows = tuple(
        {**row, "low": age, "high": age} for row, age in zip(store.rows, ["5"] * 90 + ["70"] * 10, strict=True)
    )
    skewed = FaceSet(((store, rows),))
    drawn = Counter(int(skewed.low[i]) for epoch in range(60) for i in order(skewed, "sqrt_inverse", 0, epoch))
    assert drawn[70] / drawn.total() == pytest.approx(0.25, abs=0.02)


def test_a_limited_set_is_spread_over_all_stores(store_path: Path, tmp_path: Path) -> None:
    other = FaceStore.open(synthetic_store(tmp_path, 100, size=32, bleed=6, seed=9, source="other"))
    limited = FaceSet.joined([FaceStore.open(store_path).select("train"), other.select("train")]).limited(20)
    assert Counter(row["source"] for row in limited.rows) == {"synthetic": 10, "other": 10}


def test_a_set_smaller_than_a_batch_still_fills_one(store_path: Path) -> None:
    few = FaceStore.open(store_path).select("val").limited(3)
    (batch,) = batches(few)
    assert batch.faces.shape == (8, 32, 32, 3)


def test_an_error_while_making_a_batch_reaches_the_loop() -> None:
    def broken(step: int) -> Batch:
        raise OSError(f"batch {step} is unreadable")

    with pytest.raises(OSError, match="batch 0"):
        next(ahead(broken, range(4)))


def test_only_a_few_batches_are_made_ahead(faces: FaceSet) -> None:
    made: list[int] = []
    batch = batches(faces)[0]

    def make(step: int) -> Batch:
        made.append(step)
        return batch

    list(islice(ahead(make, range(100)), 2))
    assert len(made) <= 6
