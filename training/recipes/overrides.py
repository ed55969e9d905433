"""Change fields of a recipe from the command line, as in `--set augmentation.grey_share=0.3`."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import Any, TypeVar

from pydantic import ValidationError

from service.errors import InvalidParameter
from training.data.augment import Augmentation
from training.errors import faults
from training.recipes.recipe import Recipe, Stage

Part = TypeVar("Part", Recipe, Stage, Augmentation)


def overridden(recipe: Recipe, settings: Sequence[str]) -> Recipe:
    """Return the recipe with each `FIELD=VALUE` applied, VALUE in JSON or a bare word.

    FIELD is the recipe's own, `augmentation.X` for the recipe's augmentation and those that stages have of their own,
    `head_options.X`, `stage.X` for its last stage, `stages.X` for all.
    Raises InvalidParameter naming the fields there are.
    """
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals:
            raise InvalidParameter(f"--set takes FIELD=VALUE, got {setting!r}")
        try:
            recipe = _with(recipe, name, _value(text))
        except ValidationError as error:
            raise InvalidParameter(f"--set {setting}: {faults(error)}") from error
    return recipe


def _with(recipe: Recipe, name: str, value: Any) -> Recipe:
    group, dot, inner = name.partition(".")
    if not dot:
        return _replaced(recipe, name, value, "a recipe")
    if group in ("stage", "stages"):
        first = len(recipe.stages) - 1 if group == "stage" else 0
        changed = (_replaced(stage, inner, value, "a stage") for stage in recipe.stages[first:])
        return dataclasses.replace(recipe, stages=(*recipe.stages[:first], *changed))
    if group == "head_options":  # the family says which it knows
        return dataclasses.replace(recipe, head_options={**recipe.head_options, inner: value})
    if group == "augmentation":
        stages = tuple(
            dataclasses.replace(stage, augmentation=_augmentation(stage.augmentation, inner, value))
            if stage.augmentation
            else stage
            for stage in recipe.stages
        )
        return dataclasses.replace(recipe, augmentation=_augmentation(recipe.augmentation, inner, value), stages=stages)
    raise InvalidParameter(f"--set {name}: before the dot goes augmentation, stage, stages or head_options")


def _augmentation(augmentation: Augmentation, name: str, value: Any) -> Augmentation:
    return _replaced(augmentation, name, value, "an augmentation")


def _replaced(whole: Part, name: str, value: Any, what: str) -> Part:
    fields = {each.name: getattr(whole, each.name) for each in dataclasses.fields(whole)}
    known = [each for each, now in fields.items() if now is None or isinstance(now, bool | int | float | str)]
    if name not in known:
        raise InvalidParameter(f"{what} has no {name!r} to set; there are {', '.join(known)}")
    return dataclasses.replace(whole, **{name: value})


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
