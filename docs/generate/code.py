"""What the documents say of the code, read from the code: settings, parameters, problems, metrics, warnings."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from typer.main import get_command

from docs.generate.blocks import table
from service.api.problems import KINDS, PLAIN
from service.cli.main import STATUSES, app
from service.inference import face_warnings
from service.inference.options import PredictOptions
from service.runtime.loading import load
from service.runtime.state import ServiceState
from service.settings import PREFIX, Settings
from training.recipes.recipe import Recipe, recipe_named, recipe_names

_MIB: Final = 2**20


def settings_table() -> str:
    """Return every setting with its default and meaning."""
    rows = []
    for name, field in Settings.model_fields.items():
        value = "" if field.default_factory else _shown(field.default)
        rows.append([f"`{PREFIX}{name.upper()}`", value, str(field.description)])
    return table(["variable", "default", "meaning"], rows)


def _shown(value: object) -> str:
    if value is None or value == ():
        return ""
    if isinstance(value, tuple):
        return f"`{','.join(value)}`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, int) and value >= _MIB and value % _MIB == 0:
        return f"`{value}` ({value // _MIB} MiB)"
    return f"`{value}`"


def parameters_table() -> str:
    """Return the query parameters of /predict and /predict/batch."""
    rows = [
        [f"`{name}`", "" if field.default is None else _shown(field.default), str(field.description)]
        for name, field in PredictOptions.model_fields.items()
    ]
    return table(["parameter", "default", "meaning"], rows)


def problems_table() -> str:
    """Return every problem that a caller can be told of."""
    said = {kind: kind.title for kind in PLAIN.values()}
    said |= {kind: str(error.__doc__).split(";")[0].rstrip(".") for error, kind in KINDS.items() if _ends(error)}
    kinds = sorted((kind.status, f"`{kind.type}`", when) for kind, when in said.items() if kind.status != 499)
    return table(["status", "`type`", "when"], [[str(status), *rest] for status, *rest in kinds])


def _ends(error: type[Exception]) -> bool:
    """Whether an error is raised itself and seen by callers, who are told of the rest as one kind."""
    return not error.__subclasses__() and KINDS[error].status != 500


def commands_table() -> str:
    """Return every command of `agelens` and what it does."""
    rows = [
        [f"`{' '.join(words)}`", str(command.help).splitlines()[0]]
        for words, command in _commands(["agelens"], get_command(app))
    ]
    return table(["command", "does"], rows)


def _commands(words: list[str], command: Any) -> Iterator[tuple[list[str], Any]]:
    inner: dict[str, Any] = getattr(command, "commands", {})
    if command.callback and (not inner or command.invoke_without_command):
        yield words, command
    for name, each in inner.items():
        yield from _commands([*words, name], each)


def statuses_table() -> str:
    """Return what each exit status of `agelens` says."""
    return table(["status", "says"], [[str(status), meaning] for status, meaning in STATUSES.items()])


def metrics_table() -> str:
    """Return every metric that /metrics shows of the service itself."""
    state = ServiceState(Settings(threads=1), load)
    rows = []
    for family in state.metrics.registry.collect():
        if family.name.startswith(("agelens", "http")):
            name = f"{family.name}_total" if family.type == "counter" else family.name
            rows.append([f"`{name}`", family.type, family.documentation])
    return table(["metric", "kind", "meaning"], sorted(rows))


def warnings_table() -> str:
    """Return what each warning of a face says."""
    rows = [
        ["small_face", f"the box is less than {face_warnings.SMALL_FACE_PX:g} pixels wide or high"],
        ["low_confidence", f"the detector's confidence is below {face_warnings.LOW_CONFIDENCE:g}"],
        ["near_border", "the box reaches past the picture's border"],
        ["turned_away", "the nose lies near one ear: the face is seen from the side"],
        ["wide_interval", f"the interval spans more than {face_warnings.WIDE_INTERVAL_YEARS} years"],
        ["edge_of_range", f"the median is below {face_warnings.YOUNGEST:g} or above {face_warnings.OLDEST:g} years"],
        [
            "exposure",
            (
                "the face is too dark or has too little contrast (fewer than "
                f"{face_warnings.FLAT['as-is']} of 256 shades, or {face_warnings.FLAT['stretched']} for "
                f"models that stretch them), or more than {face_warnings.BURNT_SHARE:.0%} of it is overexposed"
            ),
        ],
        ["blurred", "details 1 % as wide as the face are missing although details 4 % as wide are there"],
        [
            "squeezed",
            (
                f"the eyes are less than {face_warnings.SQUEEZED:g} of their distance from the mouth apart: the "
                "picture was most likely squeezed in width"
            ),
        ],
        [
            "few_shades",
            (
                f"more than {face_warnings.ALIKE_SHARE:.0%} of the face's pixels are exactly like the next ones, as in "
                "drawings and pictures of few colours"
            ),
        ],
        [
            "outside_prior",
            (
                f"without `prior`, more than {face_warnings.OUTSIDE_PRIOR:.0%} of the distribution would lie at ages "
                "that the mix named by it has none of"
            ),
        ],
    ]
    return table(["warning", "when"], [[f"`{name}`", when] for name, when in rows])


def recipes_table() -> str:
    """Return the named recipes with what they cost and should reach."""
    recipes = [recipe_named(name) for name in recipe_names()]
    rows = [[f"`{each.name}`", each.backbone, each.head, _begins_with(each), _cost(each)] for each in recipes]
    return table(["recipe", "backbone", "family", "initial weights", "cost"], rows)


def _begins_with(recipe: Recipe) -> str:
    below = f", on the first layers of {recipe.first_layers}" if recipe.first_layers else ""
    return (recipe.weights or "none") + below


def _cost(recipe: Recipe) -> str:
    """Return what a recipe costs; of one that is trained beside another, the other's name."""
    trained = recipe.command.rpartition("agelens-train train ")[2].split()[0]
    return recipe.cost if trained == recipe.name else f"with `{trained}`"


ROOT: Final = Path(__file__).parents[2]
"""The checkout."""
