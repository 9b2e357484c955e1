"""Files that pages load: read once, compressed once, and named by a digest of them all, so that they never change.

One digest for all of them lets a stylesheet or a module name its neighbours by their plain names.
"""

import gzip
import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import brotli
from fastapi import APIRouter, Request, Response

from carteira.kit.web.access import public
from carteira.kit.web.problems import NotFound

_TYPES = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml; charset=utf-8",
    "png": "image/png",
    "woff2": "font/woff2",
}
_COMPRESSED = {"css", "js", "svg"}
_FOR_GOOD = "public, max-age=31536000, immutable"

router = APIRouter()


@dataclass(frozen=True, slots=True)
class StaticFile:
    """A file with its compressed forms, by the name that `Accept-Encoding` has for each."""

    media_type: str
    plain: bytes
    compressed: dict[str, bytes]


@dataclass(frozen=True, slots=True)
class ReleaseFiles:
    """All files of `static/`, and what they are named by."""

    version: str
    by_name: dict[str, StaticFile]


@cache
def load() -> ReleaseFiles:
    """Read and compress the files of this release, once a process."""
    digest = hashlib.sha256()
    found: dict[str, StaticFile] = {}
    for item in sorted(files("carteira.web").joinpath("static").iterdir(), key=lambda item: item.name):
        extension = item.name.rpartition(".")[2]
        if extension not in _TYPES:
            continue
        content = item.read_bytes()
        digest.update(item.name.encode() + b"\0" + content)
        compressed = {}
        if extension in _COMPRESSED:
            compressed = {"br": brotli.compress(content), "gzip": gzip.compress(content, 9, mtime=0)}
        found[item.name] = StaticFile(_TYPES[extension], content, compressed)
    return ReleaseFiles(digest.hexdigest()[:12], found)


def accepted(request: Request) -> str | None:
    """Name the best encoding that a browser takes of those that are made here."""
    offered = {part.partition(";")[0].strip() for part in request.headers.get("accept-encoding", "").split(",")}
    return next((name for name in ("br", "gzip") if name in offered), None)


@router.get("/static/{version}/{name}", include_in_schema=False, dependencies=[public("what every page loads")])
async def get_asset(version: str, name: str, request: Request) -> Response:
    """Answer a file; under a former release's name what there is now, which nobody keeps."""
    assets = load()
    asset = assets.by_name.get(name)
    if asset is None:
        raise NotFound
    encoding = accepted(request)
    headers = {
        "Cache-Control": _FOR_GOOD if version == assets.version else "no-cache",
        "Vary": "Accept-Encoding",
        "Cross-Origin-Resource-Policy": "same-origin",
    }
    if encoding in asset.compressed:
        headers["Content-Encoding"] = encoding
        return Response(asset.compressed[encoding], headers=headers, media_type=asset.media_type)
    return Response(asset.plain, headers=headers, media_type=asset.media_type)
