"""Measure the detector and its proposals on composed scenes and hard pictures, and write the proposals' card."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from rich.progress import track

from service.inference.detection.detector import BlazeFaceDetector
from service.inference.detection.face_proposals import FILE, THRESHOLD, FaceProposals, Proposal
from service.inference.detection.views import LONGEST, smallest_sought, views
from service.inference.distribution import AgeDistribution
from service.inference.faces import Face, Pixels
from service.inference.imaging import Pyramid, crop_face
from service.inference.lockfile import LockEntry, ModelLock
from service.inference.manifest import METADATA_KEY, Provenance
from service.inference.onnx_session import ort
from service.inference.pipeline import load_models
from training.evaluation.reliability import binomial_interval
from training.export.card import limits_part, markdown, with_terms
from training.face_proposals.backgrounds import HELD_OUT, LEARNT, scenery
from training.face_proposals.scenes import SMALLEST, Portrait, SceneFace, Scenes, portraits
from training.face_proposals.search_measurement import Remeasured, Searched, hard_pictures, remeasured

HEIGHT, WIDTH = 480, 640
LEAST: Final = 16.0
"""Narrowest composed face in pixels, in scenes of 640 × 480."""

WIDTHS: Final = ((16, 24), (24, 40), (40, 64), (64, 110), (110, 220), (220, 480))
TURNS: Final = ((0, 15), (15, 45), (45, 90), (90, 135), (135, 180))
"""What composed faces are counted by: pixels of the box, and degrees from upright."""

PHOTOGRAPHS: Final = 50
"""Photographs of each store that hard pictures are made of."""

_HIT: Final = 0.3  # overlap of a find with the box that was composed
_SEED: Final = 7
LIMITS: Final = (
    "The scenes are composed: portraits laid into pictures that scikit-image and scikit-learn ship.",
    "Photographs of crowds, with faces from the side, half hidden or out of focus, were not measured.",
    "A face counts as found where the detector returns a box that overlaps the composed one by three tenths.",
    "Faces that are turned were photographed upright, and turned with what is around them.",
)
"""Limits of the measurement itself, whatever the portraits."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """A composed face: its width, its turn in degrees, and whether it was proposed, and found in the end."""

    width: float
    turn: float
    proposed: bool
    found: bool


@dataclass
class Measured:
    """Results on composed scenes."""

    sightings: list[Sighting] = field(default_factory=list)
    proposals: list[int] = field(default_factory=list)
    false_faces: int = 0
    milliseconds: list[float] = field(default_factory=list)


class Measurement:
    """The detector of a models folder, its proposals by themselves, and the default model."""

    def __init__(self, models_dir: Path) -> None:
        """Load them."""
        self._proposals, self._detector = FaceProposals(models_dir), BlazeFaceDetector(models_dir)
        self._estimator = next(iter(load_models(models_dir).values()))

    def detect(self, picture: Pixels) -> tuple[Face, ...]:
        """Return the faces of a picture, largest first."""
        return self._detector.detect(Pyramid(picture)).faces

    def age(self, picture: Pixels, face: Face) -> float:
        """Return the age that the default model gives a face."""
        crop = crop_face(picture, face, self._estimator.manifest.crop)
        return AgeDistribution.of(self._estimator.estimate(crop[None])[0]).median

    def see(self, measured: Measured, picture: Pixels, faces: Sequence[SceneFace] = ()) -> None:
        """Add one scene and the faces that were composed into it."""
        planned, _ = views(picture.shape[1], picture.shape[0], smallest_sought(picture.shape[1], picture.shape[0]))
        pyramid = Pyramid(picture)
        proposed = [place for view in planned for place in self._proposals.propose(pyramid, view)]
        start = time.process_time()
        found = self.detect(picture)
        measured.milliseconds.append(1000 * (time.process_time() - start))
        measured.proposals.append(len(proposed))
        measured.false_faces += sum(not any(_same(face, other) for other in faces) for face in found)
        for face in faces:
            turn = abs(float(np.degrees(face.turn)))
            seen = (any(_same(other, face) for other in others) for others in (proposed, found))
            measured.sightings.append(Sighting(face.width, turn, *seen))


def _same(face: Face | Proposal, composed: SceneFace) -> bool:
    return face.box.overlap(composed.box) > _HIT


def card_proposals(
    stores: Sequence[Path], photos: Sequence[Path], models_dir: Path, count: int, public: Sequence[Path] = ()
) -> Path:
    """Measure on the `val` split and on pictures without faces; write the card and return its path.

    Sheets are also made of the photographs `public`.
    """
    scenes, seeing, composed = Scenes.of(stores, photos, "val", HELD_OUT), Measurement(models_dir), Measured()
    for number in track(range(count), "composed scenes"):
        seeing.see(composed, *scenes.scene(np.random.default_rng((_SEED, number)), HEIGHT, WIDTH, LEAST, 6))
    shown = [portraits(store, folder, "val") for store, folder in zip(stores, photos, strict=True)]
    some = [portrait for each in shown for portrait in _spread(each, PHOTOGRAPHS)]
    hard = list(hard_pictures(seeing.detect, seeing.age, some, public, scenery(LEARNT + HELD_OUT)))
    again = [remeasured(store.name, seeing.detect, each) for store, each in zip(stores, shown, strict=True)]
    entry = next(each for each in ModelLock.read(models_dir).of_kind("proposals") if each.file == FILE)
    path = (models_dir / FILE).with_suffix(".md")
    path.write_text(card(entry, provenance(models_dir / FILE), composed, hard, again))
    return path


def provenance(path: Path) -> Provenance:
    """Read the provenance in the file's metadata."""
    session = ort.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    return Provenance.model_validate_json(session.get_modelmeta().custom_metadata_map[METADATA_KEY])


def card(
    entry: LockEntry, made: Provenance, composed: Measured, hard: Iterable[Searched], again: Iterable[Remeasured]
) -> str:
    """Return the card as Markdown."""
    about = [
        ["input", f"RGB, longer side at most {LONGEST} pixels"],
        ["answer", f"faces whose boxes are {SMALLEST:.0f} pixels wide or wider: where, how wide, how turned"],
        ["threshold", f"{THRESHOLD:g}"],
        ["recipe", f"`agelens-train {made.recipe}`, code {made.commit}, {made.created}"],
        ["data", "; ".join(with_terms(source) for source in made.data)],
        ["licence", entry.licence or ""],
        ["sha256", f"`{entry.sha256}`"],
    ]
    sightings = composed.sightings
    rows = [
        _row("**all**", sightings),
        *_binned("{} to {} px", WIDTHS, sightings, lambda face: face.width),
        *_binned("turned {} to {}°", TURNS, sightings, lambda face: face.turn),
    ]
    return (
        "# face-proposals\n\nWritten by `agelens-train face-proposals` from measurements; do not edit. The network "
        "says where faces may be, how wide and which way up; the detector looks at each place again and decides.\n\n"
        f"{markdown(['', ''], about)}\n## Measured on `val`\n\n"
        f"Faces composed into scenes of {WIDTH} × {HEIGHT} pixels. Ranges are 95 % intervals.\n\n"
        f"{markdown(['', 'composed', 'proposed', 'found in the end'], rows)}\n{_costs(composed)}\n\n"
        "Pictures that are hard to search, at the default settings. The change of age is that of the default model "
        "against the same scene before it was turned.\n\n"
        + markdown(
            ["pictures", "number", "faces", "found", "false faces", "change of age, median years"],
            [_searched(each) for each in hard],
        )
        + "\nPhotographs that stores were prepared from, searched again: by how much boxes differ from the stores', in "
        "per cent of a box's width, medians.\n\n"
        + markdown(["store", "photographs", "with a face", "centre", "width"], [_remeasured(each) for each in again])
        + "\n"
        + "".join(limits_part(made.data, LIMITS))
    )


def _spread(found: Sequence[Portrait], count: int) -> Sequence[Portrait]:
    return found[:: max(1, len(found) // count)][:count]


def _row(name: str, sightings: Sequence[Sighting]) -> list[str]:
    count = len(sightings)
    hits = sum(each.proposed for each in sightings), sum(each.found for each in sightings)
    return [name, str(count), *(_share(hit, count) for hit in hits)]


def _binned(
    name: str, bins: Sequence[tuple[int, int]], sightings: Sequence[Sighting], key: Callable[[Sighting], float]
) -> list[list[str]]:
    groups = [(low, high, [each for each in sightings if low <= key(each) <= high]) for low, high in bins]
    return [_row(name.format(low, high), group) for low, high, group in groups if group]


def _share(hits: int, count: int) -> str:
    low, high = binomial_interval(hits, count)
    return f"{hits / count:.1%} ({low:.1%}–{high:.1%})"


def _costs(measured: Measured) -> str:
    return (
        f"In {len(measured.proposals)} scenes {np.mean(measured.proposals):.1f} proposals each, "
        f"{measured.false_faces} false faces, {np.median(measured.milliseconds):.0f} ms of one processor each (median)."
    )


def _searched(each: Searched) -> list[str]:
    share = f"{each.found} ({each.found / each.faces:.0%})" if each.faces else ""
    shift = f"{np.median(each.age_shifts):.2f}" if each.age_shifts else ""
    return [each.name, str(each.pictures), str(each.faces), share, str(each.false), shift]


def _remeasured(each: Remeasured) -> list[str]:
    center, width = (f"{100 * np.median(np.abs(values)):.2f}" for values in (each.centers, each.widths))
    return [each.name, str(each.pictures), f"{each.found} ({each.found / each.pictures:.2%})", center, width]
