"""The pages behind links in messages; identity writes their content."""

from fastapi import Request
from fastapi.responses import HTMLResponse

from carteira import identity
from carteira.web.browser import browser_of
from carteira.web.forms import EMPTY
from carteira.web.qr import qr_code
from carteira.web.rendering import Renderer


def draw_link_with(renderer: Renderer) -> identity.DrawLink:
    """Return the function that draws them; a link is a secret, so no referrer is sent."""

    def draw(request: Request, page: identity.LinkPage, status: int) -> HTMLResponse:
        code = qr_code(page.otpauth_uri, "Código para o autenticador") if page.otpauth_uri else ""
        browser = browser_of(request, https=renderer.config.https)
        answer = renderer.answer(
            browser, "public/link.html", {"page": page, "qr": code, "nothing": EMPTY}, status=status
        )
        answer.headers["Referrer-Policy"] = "no-referrer"
        return answer

    return draw
