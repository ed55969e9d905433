"""Options of a prediction, declared once for the API, the command line, the clients and scoring.

Only pydantic is imported here, so that the clients need nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from itertools import islice
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.fields import FieldInfo
from pydantic.json_schema import SkipJsonSchema

OLDEST_AGE: Final = 100
"""Ages are whole years from 0 to this one."""

LEAST_FACE: Final = 12
"""Width in pixels of the smallest face that is found reliably; the card of the network of proposals has the shares."""


MOST_THRESHOLDS: Final = 20

DEFAULT_LEVEL: Final = 0.9
"""Level of the interval where a request names none."""


def _split_at_commas(value: object) -> object:
    """Split `"18, 25"` from a query or a command line at its commas; likewise each item of a list.

    Of too many values one more than allowed is kept: enough to be refused, without reading them all.
    """
    items = value if isinstance(value, list | tuple) else [value]
    parts = (part for item in items for part in (item.split(",") if isinstance(item, str) else [item]))
    return list(islice(parts, MOST_THRESHOLDS + 1))


def _each_once(ages: tuple[int, ...]) -> tuple[int, ...]:
    """Leave out repeats: `at_least` has one entry, and an archive one column, for each age."""
    return tuple(dict.fromkeys(ages))


Name = Annotated[str, Field(min_length=1, max_length=64)]
"""A name that is left empty, as by a variable of a shell that is not set, is no name."""


class PredictOptions(BaseModel):
    """Options of a prediction; raise ValidationError if a value is out of range."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    model: Name | SkipJsonSchema[None] = Field(
        None, description="name of the model; without it, the default model answers"
    )
    thresholds: Annotated[
        tuple[Annotated[int, Field(ge=1, le=OLDEST_AGE)], ...],
        BeforeValidator(_split_at_commas),
        AfterValidator(_each_once),
    ] = Field(
        (),
        max_length=MOST_THRESHOLDS,
        description=f"up to {MOST_THRESHOLDS} ages from 1 to {OLDEST_AGE}, as 18,25: adds `at_least`, P(age ≥ t) "
        "for each",
        examples=[[18, 25]],
    )
    max_faces: int = Field(100, ge=1, le=1000, description="keep the largest n faces")
    min_face_size: Annotated[float, Field(ge=LEAST_FACE, le=100_000)] | SkipJsonSchema[None] = Field(
        None,
        description=f"ignore faces whose box is smaller than this, {LEAST_FACE} or more pixels of the upright "
        "photograph, measured at the box's shorter side; without it, 16 pixels or, if more, 1/80 of the longer side "
        "(1/40 of the shorter one if that is less)",
    )
    interval: float = Field(DEFAULT_LEVEL, ge=0.5, le=0.99, description="level of the interval, 0.5 to 0.99")
    prior: Name | SkipJsonSchema[None] = Field(
        None,
        description="mix of ages that the probabilities should hold for: uniform, a range such as 12-30, or a name "
        "from AGELENS_PRIORS; without it, the mix that the model's file states. People outside a range are taken for "
        "some inside it",
    )
    fields: Literal["all", "summary"] = Field(
        "all", description="what to return for each face; summary leaves out the 100 threshold probabilities"
    )
    detect: bool = Field(
        True, description="find the faces; if not, the whole picture is one face that is already cut out"
    )

    def completed(self, settings: object) -> Self:
        """Return a copy whose unset options have the values of the same names in `settings`."""
        unset = type(self).model_fields.keys() - self.model_fields_set
        return self.model_copy(update={name: getattr(settings, name) for name in unset if hasattr(settings, name)})


_PLAIN: Final = {
    "int_parsing": "should be a whole number",
    "float_parsing": "should be a number",
    "bool_parsing": "should be true or false",
    "too_long": "should have fewer values",
}
"""What is said instead of pydantic's words about text that cannot be read as a value."""


def explain(error: Mapping[str, Any], options: Mapping[str, FieldInfo], shown: str = "{}") -> str:
    """Say pydantic's error about one of `options` in a sentence; `shown` formats the option's name."""
    name = str(error["loc"][0])
    if error["type"] == "extra_forbidden":
        return unknown_name(shown.format(name[:64]), name, options)
    message = _PLAIN.get(error["type"]) or str(error["msg"]).replace("Input should", "should")
    meaning = f" ({options[name].description})" if name in options else ""
    return f"{shown.format(name)}: {message}{meaning}"


def unknown_name(shown: str, name: str, known: Iterable[str]) -> str:
    """Say that `name`, displayed as `shown`, is not known, and name the most similar known name or all of them."""
    names = list(known)
    near = get_close_matches(name.lower(), names, 1)
    return f"{shown} is not known; " + (f"did you mean {near[0]}?" if near else f"known: {', '.join(names)}")
