"""What several trainings of one recipe say of the same faces of `val`, and how far another recipe's differ from them.

A difference may be chance in the faces or in the trainings. The first is told by a 95 % range, by bootstrap over faces
of what all trainings say on average; the second by what each training came to, since three are too few for a range. Two
recipes are compared face by face and training by training, the first with the first.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from service.inference.distribution import Floats
from training.data.store import FaceSet, signed_error
from training.measures.calibration import conformities, conformity, decoded, fitted_to
from training.measures.validation import WornFaces, bootstrap, score
from training.run_folder import BEST, replace_file
from training.teaching.agreement import Agreement
from training.teaching.distillation import WIDE_LABEL

LEVEL: Final = 0.9
"""Share of good and worn faces together that a network's intervals are made to cover."""

YOUNG: Final = ((10, 17), (18, 25))
"""True ages, both ends included, whose bias is told: where age gates are."""

KEPT: Final = "told.npz"
"""File in a run's folder: what the trained network says of `val`."""


def digest(faces: FaceSet, weights: Path | None = None) -> str:
    """Return what tells faces apart, as they are cut, and where given the weights that are asked about them."""
    cut = [store.crop.model_dump(mode="json") for store, _ in faces.parts]
    found = hashlib.sha256(json.dumps([cut, faces.rows]).encode())
    if weights:
        found.update(weights.read_bytes())
    return found.hexdigest()[:16]


@dataclass(frozen=True)
class Distributions:
    """Distributions float32 [n, 101] that one trained network gives faces: as they are, worn, and mirrored."""

    clean: NDArray[np.float32]
    worn: NDArray[np.float32]
    mirrored: NDArray[np.float32]


def distributions_of(run: Path, faces: FaceSet) -> Distributions:
    """Ask a run's network about faces; what it said of the same faces before is read from the run's folder."""
    kept, asked = run / KEPT, digest(faces, run / BEST)
    if kept.exists():
        with np.load(kept) as before:
            if str(before["asked"]) == asked:
                return Distributions(before["clean"], before["worn"], before["mirrored"])
    from training.model.age_model import servable
    from training.model.initialise import trained_model

    model, recipe = trained_model(run)
    answer, size, batch = servable(model).predict_on_batch, recipe.size, recipe.batch_size
    told = Distributions(
        score(answer, faces, size, batch).pmf.astype(np.float32),
        score(answer, WornFaces(faces.parts), size, batch).pmf.astype(np.float32),
        score(lambda seen: answer(seen[:, :, ::-1]), faces, size, batch).pmf.astype(np.float32),
    )

    def write(path: Path) -> None:
        with path.open("wb") as stream:
            np.savez(stream, asked=asked, clean=told.clean, worn=told.worn, mirrored=told.mirrored)

    replace_file(kept, write)
    return told


def per_face_figures(
    trained: Sequence[Distributions], faces: FaceSet, teacher: Agreement | None = None
) -> dict[str, Floats]:
    """Return the figures of each face in each training, float64 [trainings, faces]; trainings differ only in the seed.

    In years: absolute errors of the faces whose age is known, of each source (of a span of years, the distance outside
    it), biases of the young, the distance to a teacher's ages. `coverage gap` is the share of faces whose interval
    covers the age unworn and not worn, less those the other way round, where the level is chosen for 90 % of both
    together: a network that does not know a bad picture has a large one. `interval` is such intervals' mean width.
    """
    low, high = faces.low, faces.high
    labelled = fitted_to(low, high)
    clean, worn = (np.stack([decoded(getattr(one, kind), "median") for one in trained]) for kind in ("clean", "worn"))
    both_sides = np.stack([decoded((one.clean + one.mirrored) / 2, "median") for one in trained])
    errors = signed_error(clean, low, high)
    found = {
        "clean": np.abs(errors)[:, labelled],
        "worn": np.abs(signed_error(worn, low, high))[:, labelled],
        "with the mirror image": np.abs(signed_error(both_sides, low, high))[:, labelled],
    }
    sources = np.array([row["source"] for row in faces.rows])
    found |= {name: np.abs(errors)[:, sources == name] for name in sources_of(faces)}
    for youngest, oldest in YOUNG:
        those = labelled & (low >= youngest) & (high <= oldest)
        found[f"bias {youngest}–{oldest}"] = errors[:, those]
    intervals = [_intervals(one, low[labelled], high[labelled], labelled) for one in trained]
    found["coverage gap"], found["interval"] = (np.stack(each) for each in zip(*intervals, strict=True))
    if teacher:
        found["agreement worn"] = np.abs(worn - teacher.ages)
        found["agreement unlabelled"] = np.abs(clean - teacher.ages)[:, high - low > WIDE_LABEL]
    return {name: each for name, each in found.items() if each.size}


def sources_of(faces: FaceSet) -> list[str]:
    """Return the names of the data sets that faces are of, each once."""
    return list(dict.fromkeys(row["source"] for row in faces.rows))


def _intervals(
    told: Distributions, low: NDArray[np.int64], high: NDArray[np.int64], which: NDArray[np.bool_]
) -> tuple[Floats, Floats]:
    """Return for each face whether it is covered unworn less whether worn, and the mean width of both intervals."""
    pmfs = [pmf[which] for pmf in (told.clean, told.worn)]
    scores = [conformity(pmf, low, high) for pmf in pmfs]
    reach = np.quantile(np.concatenate(scores), LEVEL)
    clean, worn = (each <= reach for each in scores)
    widths = [(conformities(pmf) <= reach).sum(axis=1) for pmf in pmfs]
    return clean.astype(np.float64) - worn, np.mean(widths, axis=0)


def figures(values: Mapping[str, Floats], beside: Mapping[str, Floats] | None = None) -> dict[str, Any]:
    """Return each figure's mean, its 95 % range over faces and the mean of each training.

    `beside` are the values of another recipe of as many trainings on the same faces: what this one has `more` than
    that is told alike.
    """
    found: dict[str, Any] = {name: _figure(each) for name, each in values.items()}
    for name in found.keys() & (beside or {}).keys():
        found[name]["more"] = _figure(values[name] - (beside or {})[name])
    return found


def _figure(values: Floats) -> dict[str, Any]:
    low, high = bootstrap(values.mean(axis=0))
    means = {"mean": float(values.mean()), "low": low, "high": high}
    return {**{name: round(each, 3) for name, each in means.items()}, "trainings": _rounded(values.mean(axis=1))}


def _rounded(values: Floats) -> list[float]:
    return [round(float(each), 3) for each in values]
