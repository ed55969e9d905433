"""Near-duplicates among drawn pictures, and the summary that names them."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance
from rich.console import Console

from training.datasets import Listing, Sample, read
from training.datasets.near_duplicates import (
    CONTRADICTION,
    DISTANCE,
    DUPLICATE,
    UNREADABLE,
    close_pairs,
    drop_duplicates,
    find_duplicates,
    group_duplicates,
    perceptual_hash,
)
from training.datasets.splits import assign_splits, clusters
from training.datasets.summary import age_band, summary


def drawn(seed: int) -> Image.Image:
    """A smooth random picture, 96 x 96."""
    noise = np.random.default_rng(seed).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((96, 96), Image.Resampling.BICUBIC)


def jpeg(picture: Image.Image, quality: int = 90) -> bytes:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return file.getvalue()


def bits_apart(first: bytes, second: bytes) -> int:
    a, b = perceptual_hash(first), perceptual_hash(second)
    assert a is not None
    assert b is not None
    return int(np.bitwise_count(a ^ b).sum())


def listing(root: Path, table: str, pictures: dict[str, bytes]) -> Listing:
    (root / "labels.csv").write_text(f"file,age,group,sex\n{table}")
    for name, data in pictures.items():
        (root / name).write_bytes(data)
    return read("own", root)


@pytest.fixture
def twins(tmp_path: Path) -> Listing:
    """a, b, c show one picture (a and b the same bytes, c smaller), d and e another at ages 10 and 40, f is lone."""
    one, two = drawn(1), drawn(2)
    pictures = {
        "a.jpg": jpeg(one),
        "b.jpg": jpeg(one),
        "c.jpg": jpeg(one.resize((60, 60)), 50),
        "f.jpg": jpeg(drawn(3)),
    }
    pictures |= {"d.jpg": jpeg(two), "e.jpg": jpeg(two, 40), "g.jpg": b"no picture"}
    table = "a.jpg,20-30,,f\nb.jpg,25,,f\nc.jpg,25,old,m\nd.jpg,10,,\ne.jpg,40,,\nf.jpg,95,old,\ng.jpg,5,,"
    return listing(tmp_path, table, pictures)


@pytest.mark.parametrize("seed", range(5))
def test_the_same_picture_stays_near_and_another_does_not(seed: int) -> None:
    picture = drawn(seed)
    assert bits_apart(jpeg(picture), jpeg(picture.resize((48, 48)), 50)) <= DISTANCE
    assert bits_apart(jpeg(picture), jpeg(ImageEnhance.Contrast(picture).enhance(0.7))) <= DISTANCE
    assert bits_apart(jpeg(picture), jpeg(drawn(seed + 100))) > 2 * DISTANCE


@pytest.mark.parametrize("data", [b"", b"no picture", jpeg(drawn(0))[:300]])
def test_what_is_no_picture_has_no_hash(data: bytes) -> None:
    assert perceptual_hash(data) is None


@settings(max_examples=50)
@given(st.lists(st.integers(0, 2**64 - 1), max_size=30), st.integers(0, 40))
def test_close_pairs_are_those_of_the_plain_definition(words: list[int], distance: int) -> None:
    found = close_pairs(np.array(words, dtype=np.uint64).reshape(-1, 1), distance)
    ranks = range(len(words))
    near = [[i, j] for i in ranks for j in ranks if i < j and (words[i] ^ words[j]).bit_count() <= distance]
    assert found.tolist() == near


def test_close_pairs_are_found_across_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.datasets.near_duplicates._COMPARED_AT_ONCE", 8)
    hashes = np.array([[1, 1], [2**60, 0], [0, 1], [2**60, 1], [1, 1]], dtype=np.uint64)
    assert close_pairs(hashes, 1).tolist() == [[0, 2], [0, 4], [1, 3], [2, 3], [2, 4]]


def test_clusters_are_found_and_unreadable_pictures_counted(twins: Listing) -> None:
    readable, found = find_duplicates(twins)
    assert [[s.path for s in cluster.samples] for cluster in found] == [["a.jpg", "b.jpg", "c.jpg"], ["d.jpg", "e.jpg"]]
    assert readable.examples[UNREADABLE] == ["g.jpg"]


def test_the_same_bytes_are_told_from_likeness(tmp_path: Path) -> None:
    same = {"a.jpg": jpeg(drawn(1)), "b.jpg": jpeg(drawn(1)), "c.jpg": jpeg(drawn(2)), "d.jpg": jpeg(drawn(2), 30)}
    _, found = find_duplicates(listing(tmp_path, "a.jpg,1,,\nb.jpg,1,,\nc.jpg,1,,\nd.jpg,1,,", same))
    assert [cluster.exact for cluster in found] == [True, False]


def test_labels_without_an_age_in_common_contradict(twins: Listing) -> None:
    _, found = find_duplicates(twins)
    assert [cluster.contradicts() for cluster in found] == [False, True]


def test_dropping_keeps_the_narrowest_label_and_no_contradiction(twins: Listing) -> None:
    kept = drop_duplicates(*find_duplicates(twins))
    assert [sample.path for sample in kept.samples] == ["b.jpg", "f.jpg"]
    assert kept.rejected == {UNREADABLE: 1, DUPLICATE: 2, CONTRADICTION: 2}
    assert kept.examples[CONTRADICTION] == ["d.jpg", "e.jpg"]


def test_grouping_joins_the_groups_that_were_there(twins: Listing) -> None:
    grouped = group_duplicates(*find_duplicates(twins))
    assert [s.group for s in grouped.samples] == ["old", "old", "old", "alike-d.jpg", "alike-d.jpg", "old"]
    assert grouped.noted == {CONTRADICTION: 2}


def test_grouped_duplicates_are_never_separated(twins: Listing) -> None:
    grouped = group_duplicates(*find_duplicates(twins)).samples
    assert clusters(grouped) == [[0, 1, 2, 5], [3, 4]]
    split = [sample.split for sample in assign_splits(grouped)]
    assert {split[0], split[1], split[2], split[5]} == {split[0]}
    assert split[3] == split[4]


def test_grouping_leaves_the_given_listing_as_it_was(twins: Listing) -> None:
    readable, found = find_duplicates(twins)
    group_duplicates(readable, found)
    assert not readable.noted
    assert twins.rejected == {}


def printed(found: Listing) -> str:
    console = Console(width=100, file=io.StringIO())
    with console.capture() as capture:
        console.print(summary(found))
    return capture.get()


def row(text: str, title: str) -> list[str]:
    """Cells of the line whose first cell is `title`."""
    lines = [[cell.strip() for cell in line.strip("│┃\n ").split("│")] for line in text.splitlines()]
    return next(line for line in lines if line[0] == title)


@pytest.mark.parametrize(("train", "calib", "said"), [(60, 18, True), (60, 19, False), (0, 2, False)])
def test_the_summary_says_where_too_few_faces_calibrate(twins: Listing, train: int, calib: int, said: bool) -> None:
    splits = ["train"] * train + ["calib"] * calib
    faces = [replace(twins.samples[0], split=split) for split in splits]
    text = " ".join(printed(twins.replaced(faces)).split())
    assert (f"calib has {calib}: probabilities and intervals are fitted to these" in text) is said


def test_the_summary_counts_by_band_sex_and_split(twins: Listing) -> None:
    text = printed(twins)
    assert row(text, "samples") == ["samples", "7", "7"]
    assert row(text, "20-29") == ["20-29", "3", "3"]
    assert row(text, "90-100") == ["90-100", "1", "1"]
    assert row(text, "female") == ["female", "2", "2"]


def test_the_summary_has_a_column_for_each_split(twins: Listing) -> None:
    text = printed(twins.replaced(assign_splits(twins.samples, {"train": 0.0, "test": 1.0})))
    assert "test" in text
    assert "val" not in text


def test_the_summary_names_what_was_left_out(twins: Listing) -> None:
    text = printed(drop_duplicates(*find_duplicates(twins)))
    assert row(text, "left out")[1:3] == [DUPLICATE, "2"]
    assert "e.jpg" in text
    assert "for example" in text


def test_the_summary_has_no_table_of_reasons_where_nothing_was_left_out(twins: Listing) -> None:
    text = printed(twins)
    assert "left out: 0, changed: 0" in text
    assert "for example" not in text


@pytest.mark.parametrize(("low", "high", "band"), [(28, 45, "30-39"), (5, 5, " 0-9"), (100, 100, "90-100")])
def test_an_age_counts_in_the_band_that_holds_its_middle(low: int, high: int, band: str) -> None:
    assert age_band(Sample("a.jpg", low, high)) == band
