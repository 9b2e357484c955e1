"""The small pages that links in messages open. One asks, since mail scanners follow links; the other says what came.

What they say is identity's; how pages look is not, so `DRAW_LINK`, which the composition root sets, draws them.
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
    """What a link's page says and asks.

    Attributes:
        title: Its heading.
        text: What is to be known.
        button: What its form does; without one there is no form.
        action: Where the form goes, from the page's own address.
        token: The link's secret, which the form carries on.
        asks_password: Whether the form asks for a new password and a code of the authenticator.
        secret: What sets an authenticator up; with its QR code.
        otpauth_uri: What that code holds.
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
"""What a person is told when it is done."""


def code_page(code: str) -> LinkPage:
    """Make the page that shows the code of a link, to be entered where it was asked for."""
    return LinkPage(
        "Seu código", "Copie este código e cole-o onde ele foi pedido. Não o passe a ninguém.", codes=[code]
    )


def ask_page(act: Act, token: str) -> LinkPage:
    """Make the page that asks before it does."""
    title, text, button = _ASK[act]
    return LinkPage(title, text, button, token=token)


def answer_page(act: Act, text: str) -> LinkPage:
    """Make the page that says what came of it."""
    return LinkPage(_ASK[act][0], text)


def page_response(request: Request, page: LinkPage, status: int = 200) -> HTMLResponse:
    """Answer with a page that nobody keeps, and whose address goes nowhere."""
    return DRAW_LINK.of(request.app)(request, page, status)
