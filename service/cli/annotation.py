"""Draw a frame around each face of a photograph and write the age beside it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from PIL import Image, ImageDraw, ImageFont

from service.atomic_write import atomic_write
from service.cli.photos import STANDARD_INPUT
from service.errors import InvalidParameter
from service.inference.decoding.photo import Photo
from service.inference.faces import AgePrediction, Pixels

FORMATS: Final = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".webp": "WEBP"}
_FRAME: Final = (255, 217, 74)
_INK: Final = (27, 26, 16)


def check_suffix(path: Path) -> None:
    """Raise InvalidParameter unless the file name ends in a format that can be written."""
    if path.suffix.lower() not in FORMATS:
        raise InvalidParameter(f"--annotate writes {', '.join(FORMATS)}; {path.name} has another ending")


def refuse_overwriting(path: Path, photo: str) -> None:
    """Raise InvalidParameter if a file is the photograph itself, under whatever name; `-` is standard input."""
    try:
        same = path.samefile("/dev/stdin" if photo == STANDARD_INPUT else photo)
    except OSError:  # one of them is not there
        return
    if same:
        other = path.with_stem(f"{path.stem}-ages")
        raise InvalidParameter(f"--annotate: {path} is the photograph itself; name another file, such as {other}")


def annotate(pixels: Pixels, faces: Sequence[AgePrediction]) -> Image.Image:
    """Return a copy of the picture with frames and ages; boxes are in pixels of `pixels`."""
    image = Image.fromarray(pixels)
    draw = ImageDraw.Draw(image)
    for prediction in reversed(faces):  # the largest face last, on top
        _draw_face(draw, prediction, max(image.size))
    return image


def save_annotated(path: Path, photo: Photo, faces: Sequence[AgePrediction]) -> None:
    """Write the annotated picture in the format of the file name's ending.

    Raises InvalidParameter, OSError, or ValueError if the format does not hold pictures of its size.
    """
    check_suffix(path)
    decoded = [replace(prediction, face=prediction.face.scaled(photo.scale)) for prediction in faces]
    target = Path(os.path.realpath(path))
    with atomic_write(target) as partial:
        annotate(photo.pixels, decoded).save(partial, FORMATS[path.suffix.lower()], quality=92)
        if target.exists():
            partial.chmod(target.stat().st_mode)


def _draw_face(draw: ImageDraw.ImageDraw, prediction: AgePrediction, side: int) -> None:
    box = prediction.face.box
    line = max(2, side // 400)
    draw.rectangle((box.x, box.y, box.x + box.width, box.y + box.height), outline=_FRAME, width=line)
    font = ImageFont.load_default(max(12.0, min(box.height / 4, side / 24)))
    text = f"{prediction.age:.0f}"
    pad = 2 * line
    _, _, width, height = draw.textbbox((0, 0), text, font=font, anchor="lt")
    left = max(0.0, box.x)
    top = box.y - height - 2 * pad
    if top < 0:  # no room above: inside, at the upper edge
        top = max(0.0, box.y)
    draw.rectangle((left, top, left + width + 2 * pad, top + height + 2 * pad), fill=_FRAME)
    draw.text((left + pad, top + pad), text, fill=_INK, font=font, anchor="lt")
