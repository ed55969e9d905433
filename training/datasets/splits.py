"""Assign splits by hash, so that they never separate a person or group and never depend on the order of files."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from training.datasets.errors import DatasetError
from training.datasets.sample import SPLITS, Sample

SHARES: Final[Mapping[str, float]] = {"train": 0.76, "val": 0.08, "calib": 0.07, "test": 0.09}
"""What part of the people and groups each split gets where nothing else is said."""

SALT: Final = "agelens"
"""Goes into every hash: another would draw other splits."""


def assign_splits(
    samples: Sequence[Sample], shares: Mapping[str, float] = SHARES, salt: str = SALT, *, by_path: bool = False
) -> list[Sample]:
    """Give every sample a split; samples connected by a subject or group stay together.

    `by_path` draws lone pictures of one name in several folders apart, and not alike.

    A split that is set already is kept. Where such splits disagree within one cluster, all of it goes to the one
    used last (test, calib, val, train): a test person is never trained on. Other clusters are drawn by hash, so
    `shares` hold for clusters, and for samples only on average. DatasetError where shares do not sum to 1.
    """
    if set(shares) - set(SPLITS) or abs(sum(shares.values()) - 1) > 1e-9 or min(shares.values()) < 0:
        raise DatasetError(f"shares name {', '.join(SPLITS)} and sum to 1, got {dict(shares)}")
    result = list(samples)
    for cluster in clusters(samples):
        fixed = {samples[i].split for i in cluster} & set(SPLITS)
        split = max(fixed, key=SPLITS.index) if fixed else _drawn(_position(samples, cluster, salt, by_path), shares)
        for i in cluster:
            result[i] = replace(samples[i], split=split)
    return result


def carve(samples: Sequence[Sample], origin: str, target: str, share: float) -> list[Sample]:
    """Move a `share` of the clusters that lie wholly in `origin` to `target`.

    For official splits that lack `calib`. Drawn by hash, like `assign_splits`.
    """
    result = list(samples)
    for cluster in clusters(samples):
        whole = all(samples[i].split == origin for i in cluster)
        if whole and _position(samples, cluster, f"{SALT}/{target}") < share:
            for i in cluster:
                result[i] = replace(samples[i], split=target)
    return result


def deal(samples: Sequence[Sample], shares: Mapping[str, float]) -> list[Sample]:
    """Give each split its share of the clusters, in the order of their hashes, and at least one, the first split first.

    Unlike `assign_splits` this leaves no split empty, which matters for a few people.
    """
    ordered = sorted(clusters(samples), key=lambda cluster: _position(samples, cluster, SALT))
    first, *others = shares
    names = [name for name in others for _ in range(max(1, round(shares[name] * len(ordered))))]
    result = list(samples)
    for split, cluster in zip([first, *names] + [first] * len(ordered), ordered, strict=False):
        for i in cluster:
            result[i] = replace(samples[i], split=split)
    return result


def clusters(samples: Sequence[Sample]) -> list[list[int]]:
    """Return the indices of samples that are connected by a subject or group."""
    return joined([_keys(sample) for sample in samples])


def _keys(sample: Sample) -> list[str]:
    known = {"subject": sample.subject, "group": sample.group}
    return [f"{kind} {value}" for kind, value in known.items() if value is not None]


def _position(samples: Sequence[Sample], cluster: Sequence[int], salt: str, by_path: bool = False) -> float:
    """Place of a cluster in 0..1, from its smallest key; a lone picture's key is its path, or name without folders.

    With names, neither the order of files nor whether they lie in an archive changes a split.
    """
    lone = (samples[i].path if by_path else samples[i].name for i in cluster)
    key = min(key for i, name in zip(cluster, lone, strict=True) for key in _keys(samples[i]) or [f"file {name}"])
    digest = hashlib.sha256(f"{salt}/{key}".encode()).digest()
    return int.from_bytes(digest[:8]) / 2**64


def _drawn(position: float, shares: Mapping[str, float]) -> str:
    """Name the split whose part of 0..1 holds `position`, in the order of SPLITS."""
    edge = 0.0
    names = [name for name in SPLITS if shares.get(name, 0) > 0]
    for name in names:
        edge += shares[name]
        if position < edge:
            return name
    return names[-1]


def joined(keys: Sequence[Sequence[str]]) -> list[list[int]]:
    """Positions of `keys` by component, in order of their first; a position without keys stands alone."""
    numbers: dict[str, int] = {}
    edges = [(i, len(keys) + numbers.setdefault(key, len(numbers))) for i, own in enumerate(keys) for key in own]
    rows, columns = np.array(edges, dtype=np.int64).reshape(-1, 2).T
    size = len(keys) + len(numbers)
    graph = coo_array((np.ones(len(edges), dtype=np.int8), (rows, columns)), shape=(size, size))
    labels = connected_components(graph, directed=False)[1]
    members: dict[int, list[int]] = defaultdict(list)
    for i in range(len(keys)):
        members[int(labels[i])].append(i)
    return list(members.values())
