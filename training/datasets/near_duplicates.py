"""Find near-duplicate pictures by a perceptual hash; group or drop them; report contradicting ages.

The hash is imagehash's `phash`: signs of the lowest 16 x 16 frequencies of a grey 64 x 64 picture. Aligned faces
resemble one another, so the usual 64 bits would join strangers.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from rich.console import Console
from rich.progress import Progress, track

from training.datasets.sample import Listing, Sample
from training.datasets.splits import joined

Hashes = NDArray[np.uint64]
"""Perceptual hashes, uint64 [pictures, 4]: 256 bits each."""

DISTANCE: Final = 36
"""Bits of 256 by which the hashes of near-duplicates differ at most.

Measured on 300 faces of UTKFace and All-Age-Faces: the same picture compressed again, made smaller or grey differs
in 0 to 10 bits, cut by 1 % or a third brighter in up to 36. All 22 pairs up to 40 bits apart in the two sets are one
picture to the eye; strangers begin at 42.
"""

UNREADABLE: Final = "not a readable picture"
DUPLICATE: Final = "duplicate of a picture that was kept"
CONTRADICTION: Final = "duplicates with contradicting ages"

_SIDE: Final = 16
_COMPARED_AT_ONCE: Final = 1 << 22


@dataclass(frozen=True, slots=True)
class Cluster:
    """Two or more samples of what seems to be one picture; `exact` where all their bytes are the same."""

    samples: tuple[Sample, ...]
    exact: bool

    def contradicts(self) -> bool:
        """Whether no age agrees with all labels."""
        return max(s.low for s in self.samples) > min(s.high for s in self.samples)


def perceptual_hash(data: bytes) -> Hashes | None:
    """Hash one picture's bytes to uint64 [4]; None where they are no picture."""
    try:
        with Image.open(io.BytesIO(data)) as picture:
            bits = imagehash.phash(picture, hash_size=_SIDE).hash
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    return np.packbits(bits).view(np.uint64)


def find_duplicates(listing: Listing) -> tuple[Listing, list[Cluster]]:
    """Clusters of samples whose pictures are the same bytes or at most `DISTANCE` of 256 bits apart.

    Also gives the listing without the pictures that cannot be read, those being rejected. Likeness is carried
    on: where a is like b and b like c, all three are one cluster. Time grows with the square of the number of
    pictures: seconds for 20,000, minutes for 500,000.
    """
    kept = listing.replaced([])
    digests: list[str] = []
    hashes: list[Hashes] = []
    for sample in track(listing.samples, f"hashing {listing.dataset}", console=Console(stderr=True), transient=True):
        data = _bytes(listing, sample)
        own = perceptual_hash(data)
        if own is None:
            kept.reject(sample.path, UNREADABLE)
            continue
        kept.samples.append(sample)
        digests.append(hashlib.sha256(data).hexdigest())
        hashes.append(own)
    pairs = close_pairs(np.array(hashes, dtype=np.uint64).reshape(-1, _SIDE * _SIDE // 64), DISTANCE)
    return kept, _clusters(kept.samples, digests, pairs)


def close_pairs(hashes: Hashes, distance: int) -> NDArray[np.int64]:
    """Pairs of rows, int64 [pairs, 2] with the lower first, that differ in at most `distance` bits."""
    count = len(hashes)
    step = max(1, _COMPARED_AT_ONCE // max(count, 1))
    found = [np.empty((0, 2), dtype=np.int64)]
    with Progress(console=Console(stderr=True), transient=True) as progress:
        for start in progress.track(range(0, count, step), description="comparing pictures"):
            rest = hashes[start:]
            bits = np.zeros((min(step, len(rest)), len(rest)), dtype=np.uint16)
            for word in range(hashes.shape[1]):
                bits += np.bitwise_count(rest[: len(bits), None, word] ^ rest[None, :, word])
            near = np.argwhere(bits <= distance)
            found.append(near[near[:, 0] < near[:, 1]] + start)
    return np.concatenate(found)


def group_duplicates(listing: Listing, found: Sequence[Cluster]) -> Listing:
    """Give each cluster one group, so that no split separates it; a group that a sample had is joined in.

    Contradicting ages are noted, and kept.
    """
    result = listing.replaced(list(listing.samples))
    places = {sample.path: i for i, sample in enumerate(listing.samples)}
    keys = [[f"group {sample.group}"] if sample.group else [] for sample in listing.samples]
    for number, cluster in enumerate(found):
        for sample in cluster.samples:
            keys[places[sample.path]].append(f"cluster {number}")
            if cluster.contradicts():
                result.note(sample.path, CONTRADICTION)
    for members in joined(keys):
        touched = [i for i in members if len(keys[i]) > 1 or any(key.startswith("cluster") for key in keys[i])]
        if touched:
            known = [group for i in members if (group := listing.samples[i].group)]
            names = (listing.samples[i].path if listing.by_path else listing.samples[i].name for i in members)
            group = min(known, default=f"alike-{min(names)}")
            for i in members:
                result.samples[i] = replace(listing.samples[i], group=group)
    return result


def drop_duplicates(listing: Listing, found: Sequence[Cluster]) -> Listing:
    """Keep one sample of each cluster, the one with the narrowest label; none where ages contradict."""
    result = listing.replaced([])
    reasons: dict[str, str] = {}
    for cluster in found:
        contradicting = cluster.contradicts()
        best = min(cluster.samples, key=lambda sample: (sample.high - sample.low, sample.path))
        for sample in cluster.samples:
            if contradicting or sample is not best:
                reasons[sample.path] = CONTRADICTION if contradicting else DUPLICATE
    for sample in listing.samples:
        if reason := reasons.get(sample.path):
            result.reject(sample.path, reason)
        else:
            result.samples.append(sample)
    return result


def _bytes(listing: Listing, sample: Sample) -> bytes:
    try:
        return listing.open(sample.path)
    except OSError:
        return b""


def _clusters(samples: Sequence[Sample], digests: Sequence[str], pairs: NDArray[np.int64]) -> list[Cluster]:
    keys = [[f"bytes {digest}"] for digest in digests]
    for number, (first, second) in enumerate(pairs.tolist()):
        keys[first].append(f"pair {number}")
        keys[second].append(f"pair {number}")
    together = [members for members in joined(keys) if len(members) > 1]
    return [Cluster(tuple(samples[i] for i in m), len({digests[i] for i in m}) == 1) for m in together]
