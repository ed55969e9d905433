"""Measure the detector with its proposals of small faces, and write their card."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from rich.progress import track

from service.inference.detector import MediapipeDetector
from service.inference.face_proposals import FILE, LONGER, THRESHOLD, FaceProposals
from service.inference.faces import Face, Pixels
from service.inference.imaging import Pyramid
from service.inference.lockfile import LockEntry, ModelLock
from service.inference.manifest import METADATA_KEY, Provenance
from service.inference.onnx_session import ort
from training.evaluation.reliability import binomial_interval
from training.export.card import limits_part, markdown, with_terms
from training.face_proposals.backgrounds import HELD_OUT, scenery
from training.face_proposals.scenes import LARGEST, SMALLEST, SceneFace, Scenes

HEIGHT, WIDTH = 480, 640
LEAST: Final = 16.0
"""Narrowest composed face in pixels, in scenes of 640 × 480."""

WIDTHS: Final = ((16, 24), (24, 40), (40, 64), (64, 110))
TURNS: Final = ((0, 15), (15, 30), (30, 45), (45, 60), (60, 80))
"""What small faces are counted by: pixels of the box, and degrees from upright."""

_HIT: Final = 0.3  # overlap of a find with the box that was composed
_SEED: Final = 7
LIMITS: Final = (
    "The scenes are composed: portraits laid into pictures that scikit-image and scikit-learn ship.",
    "Photographs of crowds, with faces from the side, half hidden or out of focus, were not measured.",
    "A face counts as found where the detector returns a box that overlaps the composed one by three tenths.",
)
"""Limits of the measurement itself, whatever the portraits."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """A composed small face: its width, its turn in degrees, and whether it was proposed, and found in the end."""

    width: float
    turn: float
    proposed: bool
    found: bool


@dataclass
class Measured:
    """Results for one kind of picture."""

    sightings: list[Sighting] = field(default_factory=list)
    proposals: list[int] = field(default_factory=list)
    false_faces: int = 0
    milliseconds: list[float] = field(default_factory=list)


class Measurement:
    """The detector of a models folder, and its proposals by themselves."""

    def __init__(self, models_dir: Path) -> None:
        """Load them."""
        self._proposals, self._detector = FaceProposals(models_dir), MediapipeDetector(models_dir)

    def see(self, measured: Measured, picture: Pixels, faces: Sequence[SceneFace] = ()) -> None:
        """Add one picture and the faces that were composed into it."""
        proposed = self._proposals.propose(Pyramid(picture))
        start = time.process_time()
        found = self._detector.detect(Pyramid(picture))
        measured.milliseconds.append(1000 * (time.process_time() - start))
        measured.proposals.append(len(proposed))
        measured.false_faces += sum(not any(_same(face, other) for other in faces) for face in found)
        for face in faces:
            if face.width <= LARGEST:
                turn = abs(float(np.degrees(face.turn)))
                seen = (any(_same(other, face) for other in others) for others in (proposed, found))
                measured.sightings.append(Sighting(face.width, turn, *seen))


def _same(face: Face, composed: SceneFace) -> bool:
    return face.box.overlap(composed.box) > _HIT


def card_proposals(stores: Sequence[Path], photos: Sequence[Path], models_dir: Path, count: int) -> Path:
    """Measure on the `val` split and on pictures that nothing was learnt from; write the card and return its path."""
    scenes, seeing = Scenes.of(stores, photos, "val", HELD_OUT), Measurement(models_dir)
    composed, faceless = Measured(), Measured()
    for number in track(range(count), "composed scenes"):
        seeing.see(composed, *scenes.scene(np.random.default_rng((_SEED, number)), HEIGHT, WIDTH, LEAST, 6))
    for picture in track(scenery(HELD_OUT), "without faces"):
        seeing.see(faceless, _enlarged(picture))
    entry = next(each for each in ModelLock.read(models_dir).of_kind("proposals") if each.file == FILE)
    path = (models_dir / FILE).with_suffix(".md")
    path.write_text(card(entry, provenance(models_dir / FILE), composed, faceless))
    return path


def provenance(path: Path) -> Provenance:
    """Read the provenance in the file's metadata."""
    session = ort.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    return Provenance.model_validate_json(session.get_modelmeta().custom_metadata_map[METADATA_KEY])


def card(entry: LockEntry, made: Provenance, composed: Measured, faceless: Measured) -> str:
    """Return the card as Markdown."""
    about = [
        ["input", f"RGB, longer side at most {LONGER} pixels"],
        ["answer", f"faces whose boxes are {SMALLEST:.0f} to {LARGEST:.0f} pixels wide: where, how wide, how turned"],
        ["threshold", f"{THRESHOLD:g}"],
        ["recipe", f"`agelens-train {made.recipe}`, code {made.commit}, {made.created}"],
        ["data", "; ".join(with_terms(source) for source in made.data)],
        ["licence", entry.licence or ""],
        ["sha256", f"`{entry.sha256}`"],
    ]
    head = ["", "composed", "proposed", "found in the end"]
    sightings = composed.sightings
    rows = [
        _row("**all**", sightings),
        *_binned("{} to {} px", WIDTHS, sightings, lambda face: face.width),
        *_binned("turned {} to {}°", TURNS, sightings, lambda face: face.turn),
    ]
    costs = [[name, *_costs(kind)] for name, kind in (("composed", composed), ("without faces", faceless))]
    return (
        "# face-proposals\n\nWritten by `agelens-train face-proposals` from measurements; do not edit. The network "
        "says where faces may be that are too small for a search of the whole picture; the detector looks at each "
        f"place again and decides.\n\n{markdown(['', ''], about)}\n## Measured on `val`\n\n"
        f"Small faces composed into scenes of {WIDTH} × {HEIGHT} pixels. Ranges are 95 % intervals.\n\n"
        f"{markdown(head, rows)}\n"
        + markdown(["pictures", "number", "proposals each", "false faces", "ms of `detect`, median"], costs)
        + "\nMilliseconds are of one processor.\n\n"
        + "".join(limits_part(made.data, LIMITS))
    )


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


def _costs(measured: Measured) -> list[str]:
    count = len(measured.proposals)
    median = float(np.median(measured.milliseconds))
    return [str(count), f"{np.mean(measured.proposals):.1f}", str(measured.false_faces), f"{median:.0f}"]


def _enlarged(picture: Any) -> Pixels:
    """Scale a picture so that its longer side has 640 pixels."""
    scale = WIDTH / max(picture.shape[:2])
    size = round(picture.shape[1] * scale), round(picture.shape[0] * scale)
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR), np.uint8)
