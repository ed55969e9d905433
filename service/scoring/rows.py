"""Rows of the archive: one for each face, with the reply's fields; one for a photograph without faces or a failure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import pyarrow as pa

from service.inference.faces import LANDMARK_NAMES
from service.inference.options import PredictOptions
from service.inference.pipeline import PhotoPrediction
from service.printable import as_utf8
from service.scoring.job import UNREADABLE, Fault

OK: Final = "ok"
NO_FACE: Final = "no_face"
ERROR: Final = "error"

Row = dict[str, Any]


def schema(thresholds: Sequence[int] = ()) -> pa.Schema:
    """Return the columns of a row; `at_least` is among them if there are thresholds."""
    point = pa.list_(pa.float64())
    level: pa.Field[Any] = pa.field("level", pa.float64())
    bounds: list[pa.Field[Any]] = [pa.field(name, pa.int32()) for name in ("low", "high")]
    fields: list[pa.Field[Any]] = [
        pa.field("id", pa.string()),
        pa.field("status", pa.string()),
        pa.field("error", pa.string()),
        pa.field("detail", pa.string()),
        pa.field("model", _struct(pa.string(), "name", "version")),
        pa.field("image", _image()),
        pa.field("face", pa.int32()),
        pa.field("box", _struct(pa.float64(), "x", "y", "width", "height")),
        pa.field("detection_confidence", pa.float64()),
        pa.field("landmarks", _struct(point, *LANDMARK_NAMES)),
        pa.field("age", pa.float64()),
        pa.field("variance", pa.float64()),
        pa.field("standard_deviation", pa.float64()),
        pa.field("interval", pa.struct([level, *bounds])),
        pa.field("threshold_probabilities", pa.list_(pa.float64())),
        pa.field("warnings", pa.list_(pa.string())),
    ]
    if thresholds:
        fields.append(pa.field("at_least", _struct(pa.float64(), *(str(age) for age in thresholds))))
    return pa.schema(fields)


def rows_of(ident: str, prediction: PhotoPrediction, options: PredictOptions) -> Iterator[Row]:
    """Yield one row for each face, largest first, or the one that says there is none."""
    photo: Row = {
        "id": ident,
        "status": OK if prediction.faces else NO_FACE,
        "model": {"name": prediction.model.name, "version": prediction.model.version},
        "image": {
            "width": prediction.width,
            "height": prediction.height,
            "more_faces": prediction.more_faces,
            "warnings": list(prediction.warnings),
        },
    }
    for number, face in enumerate(prediction.faces):
        row = {**photo, "face": number, **face.fields(options)}
        if not options.thresholds:
            del row["at_least"]  # there is no such column
        yield row
    if not prediction.faces:
        yield photo


def failure(ident: str, error: Exception | Fault) -> Row:
    """Return the row of a photograph that could not be read: a reason as the HTTP API names it, and its text."""
    if isinstance(error, Fault):
        reason, detail = error
    elif isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        reason, detail = UNREADABLE, f"{where}{error.strerror or error}"
    else:
        reason, detail = re.sub(r"(?<!^)(?=[A-Z])", "-", type(error).__name__).lower(), str(error)
    return {"id": ident, "status": ERROR, "error": reason, "detail": as_utf8(detail)}


def flat(row: Mapping[str, Any], prefix: str = "") -> Row:
    """Return the row for CSV: members of structs as columns of their own, lists as JSON."""
    cells: Row = {}
    for name, value in row.items():
        if isinstance(value, Mapping):
            cells |= flat(value, f"{prefix}{name}_")
        else:
            cells[prefix + name] = json.dumps(value) if isinstance(value, list | tuple) else value
    return cells


def flat_columns(columns: pa.Schema) -> list[str]:
    """Return the names that `flat` gives to the columns of a schema."""
    names: list[str] = []
    for column in columns:
        members = column.type.fields if isinstance(column.type, pa.StructType) else None
        names += [f"{column.name}_{member.name}" for member in members] if members else [column.name]
    return names


def _image() -> pa.StructType:
    sides: list[pa.Field[Any]] = [pa.field(name, pa.int32()) for name in ("width", "height")]
    more: pa.Field[Any] = pa.field("more_faces", pa.bool_())
    warnings: pa.Field[Any] = pa.field("warnings", pa.list_(pa.string()))
    return pa.struct([*sides, more, warnings])


def _struct(kind: pa.DataType, *names: str) -> pa.StructType:
    return pa.struct([pa.field(name, kind) for name in names])
