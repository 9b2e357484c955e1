"""Small pages behind links in messages: one asks, since mail scanners follow links; the other shows the outcome.

Identity writes their content; `DRAW_LINK`, which the composition root sets, draws them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from fastapi import Request
from fastapi.responses import HTMLResponse

from carteira.kit.web.state import StateKey

Act = Literal["confirm", "undo"]


@dataclass(frozen=True, slots=True)
class LinkPage:
    """The content of a link's page.

    Attributes:
        title: Its heading.
        text: Its text.
        button: The label of its form's button; empty: there is no form.
        action: The form's target, relative to the page's address.
        token: The link's secret, which the form passes on.
        asks_password: Whether the form asks for a new password and a code of the authenticator.
        secret: The authenticator's secret, shown with its QR code.
        otpauth_uri: The content of that QR code.
        codes: Codes to copy or to keep.
    """

    title: str
    text: str
    button: str = ""
    action: str = ""
    token: str = ""
    asks_password: bool = False
    secret: str = ""
    otpauth_uri: str = ""
    codes: Sequence[str] = ()


DrawLink = Callable[[Request, LinkPage, int], HTMLResponse]
DRAW_LINK = StateKey[DrawLink]("draw_link")
_ASK: dict[Act, tuple[str, str, str]] = {
    "confirm": ("Confirmar o contato", "Confirme que este contato é seu.", "Confirmar"),
    "undo": (
        "Não fui eu",
        "Desfaz a troca, encerra todas as sessões e anula a senha. Depois, defina uma nova em “esqueci a senha”.",
        "Desfazer a troca",
    ),
}
DONE: dict[Act, str] = {
    "confirm": "Contato confirmado.",
    "undo": "A troca foi desfeita, todas as sessões foram encerradas e a senha foi anulada. Defina uma nova agora, em "
    "“esqueci a senha”, e confira as suas formas de entrar.",
}
"""The texts after the act."""


def code_page(code: str) -> LinkPage:
    """Make the page that shows a link's code, to be typed where it was asked for."""
    return LinkPage(
        "Seu código", "Copie este código e cole-o onde ele foi pedido. Não o passe a ninguém.", codes=[code]
    )


def ask_page(act: Act, token: str) -> LinkPage:
    """Make the page that asks before it does."""
    title, text, button = _ASK[act]
    return LinkPage(title, text, button, token=token)


def answer_page(act: Act, text: str) -> LinkPage:
    """Make the page that shows the outcome."""
    return LinkPage(_ASK[act][0], text)


def page_response(request: Request, page: LinkPage, status: int = 200) -> HTMLResponse:
    """Return a page that is not cached and sends no referrer."""
    return DRAW_LINK.of(request.app)(request, page, status)
