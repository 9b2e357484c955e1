"""Renders pages from templates: one environment per process; a whole template or one block of it."""

import gzip
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlencode, urlsplit

import brotli
from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined
from jinja2_fragments import render_block
from markupsafe import Markup

from carteira.kit.values.phone import format_phone
from carteira.kit.values.texts import counted
from carteira.web import assets, csrf, formats
from carteira.web.browser import Browser, browser_of
from carteira.web.config import RENDERER, WebConfig
from carteira.web.texts import TextBlock

_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'{img}; font-src 'self'; connect-src 'self';"
    "{frames} form-action 'self'; manifest-src 'self'; worker-src 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_LEAST_COMPRESSED = 600
_BROTLI_QUALITY, _GZIP_LEVEL = 5, 6
_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Vary": "HX-Request, Cookie, Accept-Encoding",
}


@dataclass(frozen=True)
class Renderer:
    """The pages' settings and templates in one server process."""

    config: WebConfig
    templates: Environment
    texts: dict[str, list[TextBlock]] = field(default_factory=dict)
    """The public texts, by name."""

    @classmethod
    def of(cls, config: WebConfig) -> "Renderer":
        """Make the templates' environment; each is compiled at its first use."""
        environment = Environment(
            loader=PackageLoader("carteira.web"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        static = f"{config.root_path}/static/{assets.load().version}/"
        environment.globals |= {
            "config": config,
            "asset": lambda name: static + name,
            "url": lambda path: config.root_path + path,
        }
        environment.filters |= {
            "money": formats.money,
            "plain_money": formats.plain_money,
            "number": formats.number,
            "counted": counted,
            "hour": formats.hour,
            "moment": formats.moment,
            "long_day": formats.long_day,
            "full_day": formats.full_day,
            "relative_day": formats.relative_day,
            "short_day": formats.short_day,
            "month_name": formats.month_name,
            "short_month": formats.short_month,
            "first_name": formats.first_name,
            "initials": formats.initials,
            "capital": formats.capital,
            "phone": format_phone,
            "address": _query,
            "file_size": formats.file_size,
        }
        return cls(config, environment)

    def html(self, name: str, block: str | None, values: dict[str, Any]) -> str:
        """Fill a template, or only one block of it."""
        if block is None:
            return self.templates.get_template(name).render(values)
        return render_block(self.templates, name, block, **values)

    def answer(  # noqa: PLR0913 - an answer's parts
        self,
        browser: Browser,
        name: str,
        values: dict[str, Any],
        *,
        block: str | None = None,
        status: int = 200,
        images: str = "",
        frames: bool = False,
    ) -> HTMLResponse:
        """Return a page; `images` are further sources of pictures (`blob:` for a preview).

        With `frames` it may show answers of its own origin that allow it.
        """
        token = _Token(browser)
        shared = {
            "csrf_token": token,
            "csrf_field": _Field(token),
            "theme": browser.theme,
            "hides_balances": browser.hides_balances,
            "message": "" if block else browser.take_message(),
            "signed_in": bool(browser.session) and not browser.was_signed_in,
        }
        body = self.html(name, block, shared | values).encode()
        headers = dict(_HEADERS)
        headers["Content-Security-Policy"] = _POLICY.format(
            img=f" {images}" if images else "", frames=" frame-src 'self';" if frames else ""
        )
        encoding = assets.accepted(browser.request) if len(body) >= _LEAST_COMPRESSED else None
        if encoding is not None:
            headers["Content-Encoding"] = encoding
            body = (
                brotli.compress(body, quality=_BROTLI_QUALITY) if encoding == "br" else gzip.compress(body, _GZIP_LEVEL)
            )
        response = HTMLResponse(body, status, headers)
        browser.finish(response)
        return response


class _Token:
    """A form's token, made when a template draws it, so that a page without forms sets no cookie."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser

    def __str__(self) -> str:
        return csrf.masked_token(self._browser.own_secret())


class _Field:
    """The hidden field with a form's token."""

    def __init__(self, token: _Token) -> None:
        self._token = token

    def __html__(self) -> str:
        return Markup('<input type="hidden" name="csrf" value="{}">').format(str(self._token))


def _query(values: dict[str, str]) -> str:
    """Return the query of an address from the non-empty values."""
    return urlencode({name: value for name, value in values.items() if value})


def is_local(path: str) -> bool:
    """Return whether an address is a page of ours, so that no redirect leads elsewhere."""
    if not path.startswith(("/app", "/console")) or any(ord(sign) < 33 or sign == "\\" for sign in path):  # noqa: PLR2004 - blanks and controls
        return False
    parts = urlsplit(path)
    decoded = unquote(parts.path)  # browsers read "%2e%2e" as ".."
    is_page = path[4:5] in {"", "/", "?", "o"} and ".." not in decoded and "\\" not in decoded
    return not parts.scheme and not parts.netloc and is_page


def renderer_of(request: Request) -> Renderer:
    """Return the process's renderer."""
    return RENDERER.of(request.app)


def browser_at(request: Request) -> Browser:
    """Return the browser of a request for a page."""
    return browser_of(request, https=renderer_of(request).config.https)
