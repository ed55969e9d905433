"""The query parameters of both prediction endpoints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from service.errors import InvalidParameter
from service.inference.pipeline import PredictOptions
from service.settings import Settings

_AGE: Final = "(100|[1-9][0-9]?)"
THRESHOLDS_PATTERN: Final = f"^{_AGE}(,{_AGE}){{0,19}}$"


class PredictQuery(BaseModel):
    """What a caller may say besides the picture."""

    model_config = ConfigDict(frozen=True, protected_namespaces=())

    model: str | None = Field(None, description="name of a loaded model", pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")
    thresholds: str | None = Field(
        None,
        description="up to 20 ages from 1 to 100, comma-separated: adds `at_least`",
        pattern=THRESHOLDS_PATTERN,
        examples=["18,25"],
    )
    max_faces: int | None = Field(None, description="keep the largest n faces", ge=1, le=1000)
    min_face_size: float | None = Field(
        None, description="pixels of the smallest face's box in the upright photograph", ge=0, le=100_000
    )
    interval: float = Field(0.9, description="level of the interval", ge=0.5, le=0.99)
    detect: bool = Field(True, description="false: the whole picture is one face already cut out")

    @classmethod
    def read(cls, parameters: Mapping[str, str]) -> Self:
        """Read a URL's parameters, those it does not know aside; raise InvalidParameter naming the first wrong one."""
        try:
            return cls.model_validate(parameters)
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False)[0]
            raise InvalidParameter(f"{'.'.join(map(str, first['loc']))} in the query: {first['msg']}") from None

    def options(self, settings: Settings) -> PredictOptions:
        """Fill in what the caller left out; raise InvalidParameter where the settings allow less."""
        if self.max_faces is not None and self.max_faces > settings.max_faces:
            raise InvalidParameter(f"max_faces: at most {settings.max_faces} faces are answered here")
        return PredictOptions(
            model=self.model,
            thresholds=tuple(int(age) for age in self.thresholds.split(",")) if self.thresholds else (),
            max_faces=self.max_faces or settings.max_faces,
            min_face_size=settings.min_face_size if self.min_face_size is None else self.min_face_size,
            interval=self.interval,
            detect=self.detect,
        )
