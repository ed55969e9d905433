"""Connected components: which things belong together because they share a key, also through others."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components


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
