"""The endpoints: they check requests, queue pictures for the worker threads, and build replies."""

from __future__ import annotations

from contextlib import AsyncExitStack
from functools import partial
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query, Request
from starlette.datastructures import QueryParams
from starlette.responses import Response

from service import errors
from service.api.batch import Batch, JsonLines
from service.api.content_negotiation import best_media_type
from service.api.dependencies import cancel_on_disconnect, state_of
from service.api.json_picture import JsonPicture
from service.api.problems import documented
from service.api.schemas import BatchReply, HealthReply, ModelReply, ModelsReply, PredictReply
from service.api.uploads import Upload, UploadLimits, UploadReader
from service.errors import InvalidParameter, NotReady, UnknownResource
from service.inference.decoding.formats import READ
from service.inference.options import PredictOptions
from service.inference.pipeline import PhotoPrediction
from service.runtime.admission import Checkpoint
from service.runtime.metrics import EXPOSITION
from service.runtime.state import Predictor, ServiceState

JSON: Final = "application/json"
NDJSON: Final = "application/x-ndjson"

_ACCESS: Final = (errors.KeyRejected, errors.RateExceeded)
_BODY: Final = (
    errors.MalformedBody,
    errors.NotAcceptable,
    errors.BodyTooSlow,
    errors.BodyTooLarge,
    errors.UnsupportedBody,
    errors.InvalidParameter,
    errors.UnknownModel,
    errors.QueueFull,
    errors.NotReady,
)
_PICTURE: Final = (
    errors.PictureTooLarge,
    errors.UnsupportedPicture,
    errors.EmptyPicture,
    errors.CorruptPicture,
    errors.DeadlineExceeded,
    errors.AgelensError,
)

probes = APIRouter(prefix="/health", tags=["operation"])
models = APIRouter(prefix="/models", tags=["models"])
pictures = APIRouter(tags=["pictures"])

ModelName = Annotated[str, Path(max_length=64)]
Options = Annotated[PredictOptions, Query()]


def _bodies(field: dict[str, Any], *raw: str) -> dict[str, Any]:
    """Describe the request body in OpenAPI, since FastAPI does not parse it."""
    (name,) = field
    form = {"schema": {"type": "object", "required": [name], "properties": field, "additionalProperties": False}}
    content: dict[str, Any] = {"multipart/form-data": form}
    content |= {media: {"schema": {"type": "string", "format": "binary"}} for media in raw}
    if raw:
        content["application/json"] = {"schema": JsonPicture.model_json_schema()}
    return {"requestBody": {"required": True, "content": content}}


_BINARY: Final = {"type": "string", "format": "binary"}
_LINE: Final = {
    "title": "BatchLine",
    "description": "One line of the reply: each picture's result as it is ready, in any order, then the summary.",
    "anyOf": [
        {"$ref": "#/components/schemas/BatchItem"},
        {
            "title": "BatchEnd",
            "type": "object",
            "properties": {"summary": {"$ref": "#/components/schemas/BatchSummary"}},
            "required": ["summary"],
            "additionalProperties": False,
        },
    ],
}


@pictures.post(
    "/predict",
    response_model=PredictReply,
    responses=documented(*_ACCESS, *_BODY, *_PICTURE),
    openapi_extra=_bodies({"file": _BINARY}, *(media for kind in READ for media in kind.media_types)),
)
async def predict(request: Request, options: Options) -> Response:
    """Estimate the age of each face in one photograph."""
    state, key = state_of(request), getattr(request.state, "key", None)
    best_media_type(request.headers.get("accept"), [JSON])
    options = _checked(request, options, state.settings.deadline_s)
    limits = UploadLimits("file", state.settings.max_body_bytes)
    async with UploadReader(state.upload_budget).receive(request, limits) as uploads:
        with state.pool.admitted(_tasks(state, uploads, options), state.settings.deadline_s) as (
            results,
            give_up,
        ):
            state.rates.charge(key, 1)
            async with cancel_on_disconnect(request.receive, give_up):
                prediction = await results.result(0)
    state.saw(prediction, options, results.waited_s(0), key)
    request.state.facts = {"faces": len(prediction.faces)}
    reply = PredictReply.of(prediction, options, request.state.request_id)
    return Response(reply.model_dump_json(exclude_unset=True), media_type=JSON)


@pictures.post(
    "/predict/batch",
    response_model=BatchReply,
    responses={200: {"content": {NDJSON: {"schema": _LINE}}}, **documented(*_ACCESS, *_BODY, errors.AgelensError)},
    openapi_extra=_bodies({"files": {"type": "array", "minItems": 1, "items": _BINARY}}),
)
async def predict_batch(request: Request, options: Options) -> Response:
    """Estimate ages in many photographs: a list of results in order, or JSON lines as each completes."""
    state, key = state_of(request), getattr(request.state, "key", None)
    settings = state.settings
    media = best_media_type(request.headers.get("accept"), [JSON, NDJSON])
    options = _checked(request, options, settings.batch_deadline_s)
    limits = UploadLimits("files", settings.max_batch_bytes, settings.max_batch_parts, raw=False)
    async with AsyncExitStack() as stack:
        uploads = await stack.enter_async_context(UploadReader(state.upload_budget).receive(request, limits))
        admitted = state.pool.admitted(_tasks(state, uploads, options), settings.batch_deadline_s)
        results, give_up = stack.enter_context(admitted)
        state.rates.charge(key, len(uploads))
        request.state.facts = {"pictures": len(uploads)}
        batch = Batch(state, results, uploads, options, request.state.request_id, key)
        if media == NDJSON:
            return JsonLines(batch, stack.pop_all(), give_up)
        async with cancel_on_disconnect(request.receive, give_up):
            reply = await batch.reply()
    return Response(reply.model_dump_json(exclude_unset=True), media_type=JSON)


@models.get("", responses=documented(errors.KeyRejected, errors.NotReady))
async def list_models(request: Request) -> ModelsReply:
    """List the loaded models."""
    loaded = state_of(request).require_models()
    return ModelsReply(models=[_model_reply(state_of(request), name) for name in sorted(loaded.models)])


@models.get(
    "/{name}",
    responses=documented(errors.KeyRejected, errors.UnknownResource, errors.InvalidParameter, errors.NotReady),
)
async def show_model(request: Request, name: ModelName) -> ModelReply:
    """Describe one loaded model."""
    if name not in state_of(request).require_models().models:
        raise UnknownResource("no model of this name is loaded; GET /v1/models lists those that are")
    return _model_reply(state_of(request), name)


@probes.get("/live")
async def live() -> HealthReply:
    """Liveness probe: the process answers; no model is run."""
    return HealthReply()


@probes.get("/ready", responses=documented(errors.NotReady))
async def ready(request: Request) -> HealthReply:
    """Readiness probe: whether the service accepts pictures now."""
    if complaint := state_of(request).complaint():
        raise NotReady(complaint, retry_after_s=1)
    return HealthReply()


@probes.get("/startup", responses=documented(errors.NotReady))
async def startup(request: Request) -> HealthReply:
    """Startup probe: whether all models are loaded and warmed up."""
    if not state_of(request).started:
        raise NotReady("the models are being loaded", retry_after_s=1)
    return HealthReply()


metrics = APIRouter(tags=["operation"])


@metrics.get(
    "/metrics", response_class=Response, responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}}
)
async def show_metrics(request: Request) -> Response:
    """Return the metrics in the Prometheus text format."""
    return Response(state_of(request).metrics.exposition(), headers={"content-type": EXPOSITION})


def _checked(request: Request, options: PredictOptions, deadline_s: float) -> PredictOptions:
    """Check options against models, limits and queue before the body is read; fill in defaults from the settings."""
    state = state_of(request)
    _refuse_repeated(request.query_params)
    most = state.settings.max_faces
    if "max_faces" in options.model_fields_set and options.max_faces > most:
        raise InvalidParameter(f"max_faces: at most {most} faces are returned here")
    model = state.require_model(options.model)
    state.require_prior(options.prior)
    state.pool.probe(deadline_s)
    completed = options.completed(state.settings)
    return completed.model_copy(update={"max_faces": min(completed.max_faces, model.most_faces(most))})


def _refuse_repeated(query: QueryParams) -> None:
    """Raise InvalidParameter for an option that the query gives several times, but for a list: only one would count."""
    for name, field in PredictOptions.model_fields.items():
        if not isinstance(field.default, tuple) and len(query.getlist(name)) > 1:
            raise InvalidParameter(f"{name} is given more than once in the query; leave one")


def _tasks(state: ServiceState, uploads: list[Upload], options: PredictOptions) -> list[partial[PhotoPrediction]]:
    return [partial(_predict, upload.data, options, state.settings.max_pixels) for upload in uploads]


def _predict(
    data: bytes, options: PredictOptions, max_pixels: int, worker: Predictor, checkpoint: Checkpoint
) -> PhotoPrediction:
    return worker.predict(data, options, checkpoint, max_pixels)


def _model_reply(state: ServiceState, name: str) -> ModelReply:
    loaded = state.require_models()
    model = loaded.models[name]
    most_faces = model.most_faces(state.settings.max_faces)
    return ModelReply.of(model.manifest, model.sha256, most_faces, default=name == loaded.default_model)
