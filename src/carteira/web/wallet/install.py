"""The wallet as an installable app: its manifest, its service worker, and the offline page.

The worker caches the release's files and the offline page, and no personal data.
"""

import json
from importlib.resources import files

from fastapi import Response
from fastapi.responses import JSONResponse

from carteira.kit.web.access import public
from carteira.web import assets
from carteira.web.page import OpenPage
from carteira.web.routing import pages

router = pages()
_ICON_SIZES = (192, 512)
_KEPT = ("tokens.css", "components.css", "pages.css", "pages.js", "icons.svg", "figtree.woff2", "mark.svg")


@router.get("/app/manifest.webmanifest", dependencies=[public("it names the product and its icons")])
async def get_manifest(page: OpenPage) -> Response:
    """Return the web app manifest."""
    root = page.renderer.config.root_path
    static = f"{root}/static/{assets.load().version}"
    return JSONResponse(
        {
            "name": "Carteira",
            "short_name": "Carteira",
            "lang": "pt-BR",
            "start_url": f"{root}/app",
            "scope": f"{root}/app",
            "display": "standalone",
            "background_color": "#f5f3ed",
            "theme_color": "#0c302a",
            "icons": [
                {"src": f"{static}/icon-{size}.png", "sizes": f"{size}x{size}", "type": "image/png"}
                for size in _ICON_SIZES
            ],
        },
        headers={"Cache-Control": "no-cache"},
        media_type="application/manifest+json",
    )


@router.get("/app/sw.js", dependencies=[public("a script without anything of anybody's")])
async def get_worker(page: OpenPage) -> Response:
    """Return this release's service worker, with its list of files."""
    root, version = page.renderer.config.root_path, assets.load().version
    release = {
        "name": f"carteira-{version}",
        "offline": f"{root}/app/sem-internet",
        "files": [f"{root}/static/{version}/{name}" for name in _KEPT],
    }
    script = files("carteira.web").joinpath("static", "worker.js").read_text(encoding="utf-8")
    return Response(
        f"const RELEASE = {json.dumps(release)};\n{script}",
        headers={
            "Cache-Control": "no-cache",
            "Content-Security-Policy": "default-src 'none'; connect-src 'self'; frame-ancestors 'none'",
            "Service-Worker-Allowed": f"{root}/app",
        },
        media_type="text/javascript; charset=utf-8",
    )


@router.get("/app/sem-internet", dependencies=[public("it holds nothing of anybody's")])
async def show_offline(page: OpenPage) -> Response:
    """Show the offline page, which the worker caches."""
    return page.show("wallet/offline.html")
