"""Checkpoints: what they hold, and that nothing that goes wrong costs the last good one."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from training.errors import CheckpointCorrupt, CheckpointNotWritten
from training.fit.checkpoint import Checkpoint
from training.fit.schedule import Progress
from training.run_folder import CHECKPOINT, PREVIOUS, replace_file


def a_checkpoint(step: int) -> Checkpoint:
    arrays = [np.full((50, 50), step, dtype=np.float32) for _ in range(12)]
    return Checkpoint("{}", Progress(step=step, best_mae=4.5), arrays, [np.array(step)], [*arrays, np.array(7)])


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Let no file grow beyond `size` bytes, which fails as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_checkpoint_comes_back_as_it_was(tmp_path: Path) -> None:
    saved = a_checkpoint(11)
    saved.save(tmp_path)
    loaded = Checkpoint.load(tmp_path)
    assert (loaded.recipe, loaded.progress) == (saved.recipe, saved.progress)
    for group in ("model", "average", "optimizer"):
        pairs = zip(getattr(loaded, group), getattr(saved, group), strict=True)
        assert all(one.dtype == other.dtype and (one == other).all() for one, other in pairs)


def test_the_one_before_is_kept(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        a_checkpoint(step).save(tmp_path)
    assert Checkpoint.load(tmp_path).progress.step == 3
    (tmp_path / PREVIOUS).rename(tmp_path / CHECKPOINT)
    assert Checkpoint.load(tmp_path).progress.step == 2


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.99])
def test_a_truncated_checkpoint_is_named_with_the_remedy(tmp_path: Path, keep: float) -> None:
    a_checkpoint(1).save(tmp_path)
    whole = (tmp_path / CHECKPOINT).read_bytes()
    (tmp_path / CHECKPOINT).write_bytes(whole[: int(keep * len(whole))])
    with pytest.raises(CheckpointCorrupt, match=rf"rename {PREVIOUS} to {CHECKPOINT}"):
        Checkpoint.load(tmp_path)


def test_a_flipped_bit_is_noticed(tmp_path: Path) -> None:
    a_checkpoint(1).save(tmp_path)
    damaged = bytearray((tmp_path / CHECKPOINT).read_bytes())
    damaged[len(damaged) // 3] ^= 1
    (tmp_path / CHECKPOINT).write_bytes(damaged)
    with pytest.raises(CheckpointCorrupt, match="CRC"):
        Checkpoint.load(tmp_path)


def test_a_run_without_a_checkpoint_says_so(tmp_path: Path) -> None:
    with pytest.raises(CheckpointCorrupt, match="No such file"):
        Checkpoint.load(tmp_path)


def test_a_full_disk_leaves_the_last_checkpoint(tmp_path: Path) -> None:
    a_checkpoint(1).save(tmp_path)
    with largest_file(100_000), pytest.raises(CheckpointNotWritten, match=r"File too large.*--resume"):
        a_checkpoint(2).save(tmp_path)
    assert Checkpoint.load(tmp_path).progress.step == 1
    assert [path.name for path in tmp_path.iterdir()] == [CHECKPOINT]


def test_a_writer_that_fails_leaves_the_file(tmp_path: Path) -> None:
    path = tmp_path / "best.weights.h5"
    path.write_text("good")

    def fail(partial: Path) -> None:
        partial.write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(CheckpointNotWritten, match="No space left"):
        replace_file(path, fail)
    assert path.read_text() == "good"
    assert list(tmp_path.iterdir()) == [path]
