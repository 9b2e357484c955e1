"""What makes the wallet an application on a phone: its manifest, its service worker, and the page without a network.

The worker keeps files of the release and one page that says that there is no network: nothing that is a person's.
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
    """Say how the wallet is installed."""
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
    """Give the service worker of this release, with what it keeps."""
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
    """Say that there is no network; the worker keeps this page."""
    return page.show("wallet/offline.html")
