"""Static files, read once and compressed at need.

Each address contains one digest of all files, so that a browser may keep a file for good. All files share the digest,
so that a stylesheet or a module refers to its neighbours by their plain names.
"""

import asyncio
import gzip
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
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
_COMPRESS: Mapping[str, Callable[[bytes], bytes]] = {
    "br": brotli.compress,
    "gzip": lambda content: gzip.compress(content, 9, mtime=0),
}
"""The compressions by their names in `Accept-Encoding`, the best first."""
_FOR_GOOD = "public, max-age=31536000, immutable"

router = APIRouter()


@dataclass(frozen=True, slots=True)
class StaticFile:
    """A file, with its requested compressed forms; making all forms of all files takes 0.25 s."""

    media_type: str
    plain: bytes
    is_compressed: bool
    _forms: dict[str, bytes] = field(default_factory=dict)

    async def compressed(self, encoding: str) -> bytes:
        """Return a compressed form, made in a thread at its first request."""
        form = self._forms.get(encoding)
        if form is None:
            form = self._forms[encoding] = await asyncio.to_thread(_COMPRESS[encoding], self.plain)
        return form


@dataclass(frozen=True, slots=True)
class ReleaseFiles:
    """All files of `static/`, and their digest."""

    version: str
    by_name: dict[str, StaticFile]


@cache
def load() -> ReleaseFiles:
    """Read the files of this release, once per process."""
    digest = hashlib.sha256()
    found: dict[str, StaticFile] = {}
    for item in sorted(files("carteira.web").joinpath("static").iterdir(), key=lambda item: item.name):
        extension = item.name.rpartition(".")[2]
        if extension not in _TYPES:
            continue
        content = item.read_bytes()
        digest.update(item.name.encode() + b"\0" + content)
        found[item.name] = StaticFile(_TYPES[extension], content, extension in _COMPRESSED)
    return ReleaseFiles(digest.hexdigest()[:12], found)


def accepted(request: Request) -> str | None:
    """Return the best encoding that a browser accepts and this module makes."""
    offered = {part.partition(";")[0].strip() for part in request.headers.get("accept-encoding", "").split(",")}
    return next((name for name in _COMPRESS if name in offered), None)


@router.get("/static/{version}/{name}", include_in_schema=False, dependencies=[public("what every page loads")])
async def get_asset(version: str, name: str, request: Request) -> Response:
    """Return this release's file; an address with another release's digest gets it with `no-cache`."""
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
    if encoding is not None and asset.is_compressed:
        headers["Content-Encoding"] = encoding
        return Response(await asset.compressed(encoding), headers=headers, media_type=asset.media_type)
    return Response(asset.plain, headers=headers, media_type=asset.media_type)
