"""Reply models of the HTTP API, with the examples that its OpenAPI document shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema

from service.inference.options import OLDEST_AGE, PredictOptions

if TYPE_CHECKING:  # the Python client reads replies without the pipeline's libraries
    from service.inference.faces import AgePrediction
    from service.inference.manifest import Manifest
    from service.inference.pipeline import PhotoPrediction

_CURVE: Final = [1.0] * 24 + [round(1 - (k - 23) / 16, 4) for k in range(24, 39)] + [0.0] * 61


class _Reply(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class ModelName(_Reply):
    """Name and version of the model that answered."""

    name: str = Field(examples=["coral-mobilenet"])
    version: str = Field(examples=["1.0.0"])


ImageWarning = Literal["views_capped"]


class ImageReply(_Reply):
    """Size of the upright photograph in pixels, and warnings about it."""

    width: int = Field(ge=1, examples=[1280])
    height: int = Field(ge=1, examples=[960])
    more_faces: bool = Field(
        description="more faces were found than `max_faces`, or than a slow model is asked about; the smallest are "
        "left out",
        examples=[False],
    )
    warnings: list[ImageWarning] = Field(
        description="`views_capped`: the photograph was too large, or too full of faces or of what looks like them, to "
        "search all of it for faces as small as `min_face_size`",
        examples=[[]],
    )


class Box(_Reply):
    """A face's box in pixels of the upright photograph, to a tenth; it may extend past the border."""

    x: float = Field(examples=[412.0])
    y: float = Field(examples=[188.5])
    width: float = Field(ge=0, examples=[210.0])
    height: float = Field(ge=0, examples=[210.0])


class Interval(_Reply):
    """Whole ages from `low` to `high` that include the true age with probability `level`."""

    level: float = Field(ge=0.5, le=0.99, examples=[0.9])
    low: int = Field(ge=0, le=100, examples=[24])
    high: int = Field(ge=0, le=100, examples=[39])


Point = tuple[float, float]


class Landmarks(_Reply):
    """Six points (x, y) in pixels, to a tenth; left and right as the person sees them."""

    right_eye: Point = Field(examples=[[470.1, 250.3]])
    left_eye: Point = Field(examples=[[560.4, 251.0]])
    nose_tip: Point = Field(examples=[[515.0, 300.2]])
    mouth_center: Point = Field(examples=[[516.3, 345.8]])
    right_ear_tragion: Point = Field(examples=[[431.0, 262.2]])
    left_ear_tragion: Point = Field(examples=[[604.9, 263.7]])


Probability = Annotated[float, Field(ge=0, le=1, description="rounded to 6 digits after the point")]
Warning_ = Literal[
    "small_face",
    "low_confidence",
    "near_border",
    "turned_away",
    "wide_interval",
    "edge_of_range",
    "exposure",
    "blurred",
    "squeezed",
    "few_shades",
    "outside_prior",
]


class FaceReply(_Reply):
    """One face with its distribution over ages."""

    box: Box
    detection_confidence: float = Field(ge=0, le=1, examples=[0.97])
    landmarks: Landmarks | None = Field(description="null if the face was already cut out (`detect=false`)")
    age: float = Field(ge=0, le=100, description="predicted age in years, to a hundredth", examples=[31.4])
    variance: float = Field(ge=0, description="variance of the distribution in years², to a hundredth", examples=[22.1])
    standard_deviation: float = Field(ge=0, description="in years, to a hundredth", examples=[4.7])
    interval: Interval
    threshold_probabilities: list[Probability] | SkipJsonSchema[None] = Field(
        None,
        min_length=OLDEST_AGE,
        max_length=OLDEST_AGE,
        description="P(age > k) at index k, from 0 to 99; left out with `fields=summary`",
        examples=[_CURVE],
    )
    at_least: dict[str, Probability] = Field(
        description="P(age ≥ t) for each t of `thresholds`", examples=[{"18": 0.993, "25": 0.874}]
    )
    warnings: list[Warning_] = Field(examples=[["small_face"]])

    @classmethod
    def of(cls, prediction: AgePrediction, options: PredictOptions) -> FaceReply:
        """Convert a prediction to the reply that `options` ask for."""
        return cls.model_validate(prediction.fields(options))


class Timings(_Reply):
    """Milliseconds spent in each stage, without the time in the queue."""

    decode: float = Field(ge=0, examples=[3.1])
    detect: float = Field(ge=0, examples=[2.4])
    crop: float = Field(ge=0, examples=[0.3])
    estimate: float = Field(ge=0, examples=[4.0])
    total: float = Field(ge=0, examples=[9.8])


class PredictReply(_Reply):
    """The faces of one photograph, largest first."""

    request_id: str = Field(examples=["01JD8Q6T3Y5K9W2M4N7P0R1S8V"])
    model: ModelName
    image: ImageReply
    faces: list[FaceReply]
    timings_ms: Timings

    @classmethod
    def of(cls, prediction: PhotoPrediction, options: PredictOptions, request_id: str) -> PredictReply:
        """Convert the pipeline's result for one photograph."""
        return cls(
            request_id=request_id,
            model=ModelName(name=prediction.model.name, version=prediction.model.version),
            image=_image(prediction),
            faces=[FaceReply.of(face, options) for face in prediction.faces],
            timings_ms=Timings(**{stage: round(spent, 2) for stage, spent in prediction.timings_ms.items()}),
        )


class ProblemReply(_Reply):
    """A problem document (RFC 9457)."""

    type: str = Field(examples=["urn:agelens:problem:corrupt-picture"])
    title: str = Field(examples=["Picture is truncated or damaged"])
    status: int = Field(ge=400, le=599, examples=[422])
    detail: str = Field(examples=["the picture is truncated or damaged; send a complete file"])
    instance: str | None = Field(
        default=None,
        description="path that was asked for; left out inside a batch, and where the request was not read",
        examples=["/v1/predict"],
    )
    request_id: str = Field(examples=["01JD8Q6T3Y5K9W2M4N7P0R1S8V"])


class BatchItem(_Reply):
    """Result of one picture: a prediction if `status` is ok, an error otherwise."""

    index: int = Field(ge=0, examples=[0])
    filename: str | None = Field(examples=["photo.jpg"])
    status: Literal["ok", "error"]
    prediction: PredictReply | None = None
    error: ProblemReply | None = None


class BatchSummary(_Reply):
    """Counts over the batch."""

    total: int = Field(ge=0, examples=[2])
    ok: int = Field(ge=0, examples=[2])
    errors: int = Field(ge=0, examples=[0])
    faces: int = Field(ge=0, examples=[3])


class BatchReply(_Reply):
    """One result for each picture, in the order of the request."""

    request_id: str = Field(examples=["01JD8Q6T3Y5K9W2M4N7P0R1S8V"])
    results: list[BatchItem]
    summary: BatchSummary


class ModelReply(_Reply):
    """A loaded model: the manifest in its file, and the file's sha256."""

    name: str = Field(examples=["coral-mobilenet"])
    default: bool = Field(description="used when a request names no model")
    sha256: str = Field(examples=["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"])
    version: str = Field(examples=["1.0.0"])
    family: str = Field(examples=["coral"])
    precision: str = Field(examples=["float32"])
    ages: int = Field(examples=[101])
    decode: str = Field(examples=["median"])
    flip: bool = Field(description="the distribution is the mean over the face and its mirror image")
    max_faces: int = Field(
        examples=[100], description="most faces of one photograph that it answers for here: fewer if it is slow"
    )
    crop: dict[str, Any]
    metrics: dict[str, float]
    age_mix: list[float] = Field(description="shares of the ages 0 to 100 that the probabilities are calibrated to")
    licence: str
    provenance: dict[str, Any]

    @classmethod
    def of(cls, manifest: Manifest, sha256: str, max_faces: int, default: bool) -> ModelReply:
        """Convert a manifest, leaving out its calibration tables."""
        facts = manifest.model_dump(mode="json", exclude={"schema_version", "intervals"})
        return cls(sha256=sha256, max_faces=max_faces, default=default, **facts)


class ModelsReply(_Reply):
    """The models that are loaded."""

    models: list[ModelReply]


class HealthReply(_Reply):
    """Reply of a probe that succeeds."""

    status: Literal["ok"] = "ok"


def _image(prediction: PhotoPrediction) -> ImageReply:
    size = {"width": prediction.width, "height": prediction.height}
    return ImageReply.model_validate({**size, "more_faces": prediction.more_faces, "warnings": prediction.warnings})
