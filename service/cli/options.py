"""The options of a prediction on the command line, made from their declaration in `PredictOptions`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from inspect import Parameter, signature
from typing import Annotated, Any, Literal, get_origin

import typer
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from service.errors import InvalidParameter
from service.inference.options import PredictOptions, explain
from service.settings import PREFIX, Settings


def takes_predict_options(command: Callable[..., None]) -> Callable[..., None]:
    """Replace the parameter `asked` of a command by one option for each field of `PredictOptions`.

    The command gets the options that have a value as the mapping `asked`.
    """
    declared = signature(command, eval_str=True)
    parameters: list[Parameter] = []
    for parameter in declared.parameters.values():
        options = [_parameter(*field) for field in PredictOptions.model_fields.items()]
        parameters += options if parameter.name == "asked" else [parameter]

    @wraps(command)
    def run(**words: Any) -> None:
        asked = {name: words.pop(name) for name in PredictOptions.model_fields}
        command(**words, asked={name: value for name, value in asked.items() if value is not None})

    run.__signature__ = declared.replace(parameters=parameters)  # type: ignore[attr-defined]  # inspect reads it
    return run


def predict_options(asked: Mapping[str, Any]) -> PredictOptions:
    """Validate the values of the command line; raise InvalidParameter naming the option."""
    try:
        return PredictOptions(**asked)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        typed = f"--{str(first['loc'][0]).replace('_', '-')}"
        raise InvalidParameter(explain(first, PredictOptions.model_fields, typed)) from None


def _parameter(name: str, field: FieldInfo) -> Parameter:
    """Declare one option; its value is None if it was not given and the settings have the default."""
    plain = field.annotation in (bool, int, float) or get_origin(field.annotation) is Literal
    kind: Any = field.annotation if plain else str
    help_text = f"{str(field.description)[0].upper()}{str(field.description)[1:]}."
    default, shown = field.default or None, ""
    if name in Settings.model_fields:
        given, variable = Settings.model_fields[name].default, f"{PREFIX}{name.upper()}"
        default, shown = None, variable if given is None else f"{given}, or {variable}"
    option = typer.Option(help=help_text, show_default=shown or True)
    return Parameter(name, Parameter.POSITIONAL_OR_KEYWORD, default=default, annotation=Annotated[kind | None, option])
