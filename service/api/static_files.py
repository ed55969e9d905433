"""The page at `/`, its sample photograph, and Swagger UI at `/docs`; nothing is fetched from elsewhere."""

from __future__ import annotations

import io
import os
from importlib.resources import files
from pathlib import Path
from typing import Final

import structlog
from PIL import Image
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, MalformedRangeHeader, RangeNotSatisfiable, Response
from starlette.routing import Route
from starlette.staticfiles import NotModifiedResponse, PathLike, StaticFiles
from starlette.types import Scope

from service.errors import FileMissing, SetupError
from service.inference.lockfile import ModelLock, verified_path

log: Final = structlog.stdlib.get_logger("agelens.http")
THUMBNAIL_PX: Final = 144
_WEB: Final = Path(__file__).parents[1] / "web"
_SWAGGER: Final = Path(__file__).parent / "swagger"
_SWAGGER_UI: Final = ("swagger-ui.css", "swagger-ui-bundle.js")


def web_routes() -> list[Route]:
    """Serve each file of the page under its own name, and `index.html` at `/`."""
    names = [path.relative_to(_WEB).as_posix() for path in sorted(_WEB.rglob("*")) if path.is_file()]
    return [_route(f"/{name}".removesuffix("index.html"), _WEB, name) for name in names]


def docs_routes() -> list[Route]:
    """Serve Swagger UI from the installed package; started by our own script, as the page may run no inline code."""
    package = Path(str(files("fastapi_offline"))) / "static"
    return [
        _route("/docs", _SWAGGER, "index.html"),
        _route("/docs/start.js", _SWAGGER, "start.js"),
        *(_route(f"/docs/{name}", package, name) for name in _SWAGGER_UI),
    ]


def sample_routes(models_dir: Path) -> list[Route]:
    """Serve the sample photograph and its thumbnail, if set-up downloaded it."""
    try:
        for entry in ModelLock.read(models_dir).of_kind("sample"):
            thumbnail = _thumbnail(verified_path(models_dir, entry))
            return [_route(f"/sample/{entry.file}", models_dir, entry.file), thumbnail]
    except FileMissing:
        log.info("no_sample_photograph")
    except SetupError as error:
        log.warning("sample_photograph_refused", reason=str(error))
    return []


def _thumbnail(photo: Path) -> Route:
    small = io.BytesIO()
    with Image.open(photo) as picture:
        picture.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX))
        picture.convert("RGB").save(small, "JPEG", quality=85)
    content = small.getvalue()

    async def answer(_: Request) -> Response:
        return Response(content, headers={"cache-control": "no-cache"}, media_type="image/jpeg")

    return Route("/sample/thumbnail.jpg", answer, methods=["GET"], include_in_schema=False)


class _File(FileResponse):
    """A file, or its Range; one that is malformed or not of bytes is ignored (RFC 9110, section 14.2)."""

    @classmethod
    def _parse_range_header(cls, http_range: str, file_size: int) -> list[tuple[int, int]]:
        """Return the ranges, none for the whole file; raise HTTPException for one past the file's end."""
        try:
            return super()._parse_range_header(http_range, file_size)
        except MalformedRangeHeader:
            return []
        except RangeNotSatisfiable as error:
            detail = f"the file has {file_size:,} bytes; ask for a Range within them"
            raise HTTPException(416, detail, {"content-range": f"bytes */{file_size}"}) from error


class _Files(StaticFiles):
    def file_response(self, full_path: PathLike, stat_result: os.stat_result, scope: Scope, _: int = 200) -> Response:
        """Return the file, or that it is unchanged."""
        response = _File(full_path, stat_result=stat_result)
        unchanged = self.is_not_modified(response.headers, Headers(scope=scope))
        return NotModifiedResponse(response.headers) if unchanged else response


def _route(path: str, folder: Path, name: str) -> Route:
    """Serve one file as a route; a mount at `/` would answer a wrong method with 404 instead of 405."""
    folder_files = _Files(directory=folder)

    async def answer(request: Request) -> Response:
        response = await folder_files.get_response(name, request.scope)
        response.headers["cache-control"] = "no-cache"  # keep it, and ask each time whether it is still the same
        return response

    return Route(path, answer, methods=["GET"], include_in_schema=False)
