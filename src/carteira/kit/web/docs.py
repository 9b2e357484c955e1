"""`/docs` and `/redoc`; their scripts are served by this server, from a package, and by no other host."""

import base64
import hashlib
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html, get_swagger_ui_oauth2_redirect_html
from fastapi.responses import HTMLResponse
from starlette.staticfiles import StaticFiles

from carteira.kit.web.access import public

ASSETS = "/assets/docs"
_INLINE_SCRIPT = re.compile(rb"<script>(.*?)</script>", re.DOTALL)


def install(app: FastAPI) -> None:
    """Add the pages and the OpenAPI document to the app."""
    folder = Path(str(files("fastapi_offline"))) / "static"
    app.mount(ASSETS, StaticFiles(directory=folder), name="docs-assets")
    everyone = [public("the contract is no secret")]
    written: dict[str, bytes] = {}  # one entry: a server has one prefix, and writing the document takes 0.1 s

    @app.get("/openapi.json", include_in_schema=False, dependencies=everyone)
    async def openapi(request: Request) -> Response:
        root = _root(request)
        if root not in written:
            written[root] = orjson.dumps(_under(root, app.openapi()))
        return Response(written[root], media_type="application/json")

    @app.get("/docs", include_in_schema=False, dependencies=everyone)
    async def docs(request: Request) -> HTMLResponse:
        root = _root(request)
        return _guarded(
            get_swagger_ui_html(
                openapi_url=f"{root}/openapi.json",
                title=app.title,
                swagger_js_url=f"{root}{ASSETS}/swagger-ui-bundle.js",
                swagger_css_url=f"{root}{ASSETS}/swagger-ui.css",
                swagger_favicon_url=f"{root}{ASSETS}/favicon.png",
                oauth2_redirect_url=f"{root}/docs/oauth2-redirect",
            )
        )

    @app.get("/docs/oauth2-redirect", include_in_schema=False, dependencies=everyone)
    async def oauth2_redirect() -> HTMLResponse:
        return _guarded(get_swagger_ui_oauth2_redirect_html())

    @app.get("/redoc", include_in_schema=False, dependencies=everyone)
    async def redoc(request: Request) -> HTMLResponse:
        root = _root(request)
        return _guarded(
            get_redoc_html(
                openapi_url=f"{root}/openapi.json",
                title=app.title,
                redoc_js_url=f"{root}{ASSETS}/redoc.standalone.js",
                redoc_favicon_url=f"{root}{ASSETS}/favicon.png",
                with_google_fonts=False,
            )
        )


def _root(request: Request) -> str:
    root: str = request.scope.get("root_path", "")
    return root


def _under(root: str, document: dict[str, Any]) -> dict[str, Any]:
    """Return the document with the server's prefix on its paths and on the token URL."""
    servers = [{"url": root or "/", "description": "Este servidor"}]
    if not root:
        return document | {"servers": servers}
    components = document["components"]
    schemes = {
        name: scheme
        | {"flows": {kind: flow | {"tokenUrl": root + flow["tokenUrl"]} for kind, flow in scheme["flows"].items()}}
        if "flows" in scheme
        else scheme
        for name, scheme in components["securitySchemes"].items()
    }
    return document | {"servers": servers, "components": components | {"securitySchemes": schemes}}


def _guarded(page: HTMLResponse) -> HTMLResponse:
    """Set a policy that allows the page's own scripts (by digest) and this host's, and no other connection."""
    digests = (hashlib.sha256(script).digest() for script in _INLINE_SCRIPT.findall(bytes(page.body)))
    own = " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
    page.headers["Content-Security-Policy"] = (
        f"default-src 'none'; script-src 'self' {own}; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        "connect-src 'self'; worker-src blob:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )
    return page
