"""Pages and their files, read into memory once: the page at `/`, its sample photograph, and the documentation."""

from __future__ import annotations

import hashlib
import io
import mimetypes
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Final

import structlog
from PIL import Image
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from service.errors import FileMissing, SetupError
from service.inference.lockfile import ModelLock, verified_path

log: Final = structlog.stdlib.get_logger("agelens.http")
THUMBNAIL_PX: Final = 144
WEB: Final = Path(__file__).parents[1] / "web"

_DOCS_PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>agelens API</title>
<link rel="stylesheet" href="docs/swagger-ui.css">
</head>
<body>
<main id="api"><noscript>This page needs JavaScript; <a href="openapi.json">openapi.json</a> does not.</noscript></main>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""
_DOCS_START: Final = (
    """SwaggerUIBundle({ url: "openapi.json", dom_id: "#api", deepLinking: true, validatorUrl: null });\n"""
)


@dataclass(frozen=True, slots=True)
class Page:
    """A file's content, its media type, and an entity tag for callers that have it already."""

    content: bytes
    media_type: str
    etag: str

    @classmethod
    def of(cls, content: bytes, name: str) -> Page:
        """Take the media type from the name's ending."""
        media = mimetypes.guess_type(name)[0] or "application/octet-stream"
        if media == "application/javascript":
            media = "text/javascript"
        return cls(content, media, f'"{hashlib.sha256(content).hexdigest()[:32]}"')

    async def __call__(self, request: Request) -> Response:
        """Answer with the content, or with nothing where the caller has it."""
        headers = {"etag": self.etag, "cache-control": "no-cache"}
        if request.headers.get("if-none-match") == self.etag:
            return Response(status_code=304, headers=headers)
        return Response(self.content, headers=headers, media_type=self.media_type)


def web_routes(folder: Path = WEB) -> list[Route]:
    """Serve each file of `folder` under its own name and `index.html` at `/`; no route leads anywhere else."""
    pages = {f"/{path.relative_to(folder).as_posix()}": path.read_bytes() for path in _files(folder)}
    if "/index.html" in pages:
        pages["/"] = pages.pop("/index.html")
    return _routes({path: Page.of(content, "x.html" if path == "/" else path) for path, content in pages.items()})


def sample_routes(models_dir: Path) -> list[Route]:
    """Serve the photograph to try the page with, and a small picture of it, where set-up obtained it."""
    pages = {}
    try:
        for entry in ModelLock.read(models_dir).of_kind("sample"):
            photo = verified_path(models_dir, entry).read_bytes()
            pages[f"/sample/{entry.file}"] = Page.of(photo, entry.file)
            pages["/sample/thumbnail.jpg"] = Page.of(_thumbnail(photo), "thumbnail.jpg")
    except FileMissing:
        log.info("no_sample_photograph")
    except SetupError as error:
        log.warning("sample_photograph_refused", reason=str(error))
    return _routes(pages)


def docs_routes() -> list[Route]:
    """Serve Swagger UI from the installed package, with nothing fetched from elsewhere."""
    shipped = files("fastapi_offline") / "static"
    pages = {
        "/docs": Page.of(_DOCS_PAGE.encode(), "docs.html"),
        "/docs/start.js": Page.of(_DOCS_START.encode(), "start.js"),
    }
    for name in ("swagger-ui.css", "swagger-ui-bundle.js"):
        pages[f"/docs/{name}"] = Page.of((shipped / name).read_bytes(), name)
    return _routes(pages)


def _thumbnail(photo: bytes) -> bytes:
    picture = Image.open(io.BytesIO(photo)).convert("RGB")
    picture.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX))
    small = io.BytesIO()
    picture.save(small, "JPEG", quality=85)
    return small.getvalue()


def _routes(pages: Mapping[str, Page]) -> list[Route]:
    return [Route(path, page.__call__, methods=["GET"], include_in_schema=False) for path, page in pages.items()]


def _files(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        yield from (path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix not in (".py", ".md"))
