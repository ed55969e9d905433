import random
from collections import Counter, defaultdict
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.datasets import SPLITS, DatasetError, Sample
from training.datasets.splits import assign_splits, carve, clusters, deal

names = st.integers(0, 6).map(str) | st.none()
listings = st.lists(
    st.builds(
        lambda number, subject, group, split: Sample(f"{number}.jpg", 1, 1, subject, group, split=split),
        st.integers(0, 10_000),
        names,
        names,
        st.sampled_from(SPLITS) | st.none(),
    ),
    max_size=40,
)


def separated(samples: Iterable[Sample]) -> set[tuple[str, str]]:
    """Subjects and groups that stand in more than one split."""
    found: dict[tuple[str, str], set[str | None]] = defaultdict(set)
    for sample in samples:
        for key in (("subject", sample.subject), ("group", sample.group)):
            if key[1] is not None:
                found[key[0], key[1]].add(sample.split)
    return {key for key, splits in found.items() if len(splits) > 1}


@settings(max_examples=50)
@given(listings)
def test_no_subject_and_no_group_ever_crosses(samples: list[Sample]) -> None:
    found = assign_splits(samples)
    assert not separated(found)
    assert {sample.split for sample in found} <= set(SPLITS)


@settings(max_examples=50)
@given(listings)
def test_carving_never_crosses_either(samples: list[Sample]) -> None:
    assert not separated(carve(assign_splits(samples), "train", "calib", 0.5))


@settings(max_examples=50)
@given(listings, st.randoms())
def test_the_order_of_samples_does_not_matter(samples: list[Sample], order: random.Random) -> None:
    shuffled = list(samples)
    order.shuffle(shuffled)
    assert Counter(assign_splits(shuffled)) == Counter(assign_splits(samples))


@settings(max_examples=50)
@given(listings)
def test_a_set_split_moves_only_towards_test(samples: list[Sample]) -> None:
    for before, after in zip(samples, assign_splits(samples), strict=True):
        assert before.split is None or SPLITS.index(after.split or "") >= SPLITS.index(before.split)


def people(count: int) -> list[Sample]:
    return [Sample(f"{i}.jpg", 1, 1, subject=str(i)) for i in range(count)]


def test_shares_are_kept_on_many_people() -> None:
    shares = {"train": 0.7, "val": 0.1, "calib": 0.1, "test": 0.1}
    counts = Counter(sample.split for sample in assign_splits(people(2000), shares))
    assert all(abs(counts[split] / 2000 - share) < 0.03 for split, share in shares.items())


def test_splits_are_the_same_everywhere_and_change_with_the_salt() -> None:
    splits = [sample.split for sample in assign_splits(people(12))]
    assert splits == [sample.split for sample in assign_splits(people(500))][:12]
    assert splits != [sample.split for sample in assign_splits(people(12), salt="other")]


def test_a_lone_picture_has_its_split_wherever_its_folder_lies() -> None:
    here, there = ([Sample(f"{folder}/{i}.jpg", 1, 1) for i in range(30)] for folder in ("images", "set.zip/images"))
    assert [s.split for s in assign_splits(here)] == [s.split for s in assign_splits(there)]


def test_pictures_are_joined_through_others() -> None:
    samples = [Sample("a", 1, 1, "ann"), Sample("b", 1, 1, "ann", "g"), Sample("c", 1, 1, None, "g"), Sample("d", 1, 1)]
    assert clusters(samples) == [[0, 1, 2], [3]]


def test_a_subject_and_a_group_of_one_name_are_not_one() -> None:
    assert clusters([Sample("a", 1, 1, subject="7"), Sample("b", 1, 1, group="7")]) == [[0], [1]]


def test_carving_leaves_alone_whom_the_official_splits_separate() -> None:
    samples = [Sample("a", 1, 1, "ann", split="train"), Sample("b", 1, 1, "ann", split="test")]
    assert carve(samples, "train", "calib", 1.0) == samples


def test_a_cluster_of_many_keys_is_drawn_alike_in_any_order() -> None:
    pairs = [[Sample(f"{i}.jpg", 1, 1, f"b{i}", f"{i}"), Sample(f"{i}.png", 1, 1, f"a{i}", f"{i}")] for i in range(40)]
    drawn = [[assign_splits(order)[0].split for order in (pair, pair[::-1])] for pair in pairs]
    assert all(forwards == backwards for forwards, backwards in drawn)


def test_carving_takes_about_the_share_and_only_from_its_origin() -> None:
    samples = assign_splits(people(1000), {"train": 0.5, "test": 0.5})
    moved = carve(samples, "train", "calib", 0.2)
    before, after = Counter(s.split for s in samples), Counter(s.split for s in moved)
    assert after["test"] == before["test"]
    assert abs(after["calib"] / before["train"] - 0.2) < 0.05


@pytest.mark.parametrize(("count", "splits"), [(1, {"train": 1}), (3, {"train": 1, "val": 1, "calib": 1})])
def test_dealing_leaves_no_split_empty(count: int, splits: dict[str, int]) -> None:
    shares = {"train": 0.9, "val": 0.05, "calib": 0.05}
    assert Counter(sample.split for sample in deal(people(count), shares)) == splits


def test_dealing_keeps_shares_and_people() -> None:
    pairs = [Sample(f"{i}/{half}.jpg", 1, 1, subject=str(i)) for i in range(100) for half in (1, 2)]
    dealt = deal(pairs, {"train": 0.8, "val": 0.2})
    assert not separated(dealt)
    assert Counter(sample.split for sample in dealt) == {"train": 160, "val": 40}


@pytest.mark.parametrize("shares", [{"train": 0.5}, {"train": 0.5, "dev": 0.5}, {"train": 1.5, "test": -0.5}, {}])
def test_shares_that_make_no_sense_are_refused(shares: dict[str, float]) -> None:
    with pytest.raises(DatasetError, match="sum to 1"):
        assign_splits([], shares)
