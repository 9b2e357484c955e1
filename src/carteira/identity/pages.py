"""The small pages that links in messages open. One asks, since mail scanners follow links; the other says what came."""

from html import escape
from typing import Literal

from fastapi.responses import HTMLResponse

Act = Literal["confirm", "undo"]

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_PAGE = """<!doctype html>
<html lang="pt-BR"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex"><title>{title}</title>
<style>body{{font:1.1rem/1.5 system-ui,sans-serif;margin:2rem auto;max-width:28rem;padding:0 1rem;color:#1b1b1b}}
h1{{font-size:1.4rem}}button{{font:inherit;padding:.7rem 1.2rem;border:0;border-radius:.5rem;background:#0b57d0;
color:#fff}}</style></head>
<body><main><h1>{title}</h1><p>{text}</p>{form}</main></body></html>
"""
_FORM = '<form method="post"><input type="hidden" name="token" value="{token}"><button>{button}</button></form>'
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


def code_page(code: str) -> str:
    """Write the page that shows the code of a link, to be entered where it was asked for."""
    text = "Copie este código e cole-o onde ele foi pedido. Não o passe a ninguém."
    return _PAGE.format(title="Seu código", text=text, form=f"<p><code>{escape(code)}</code></p>")


def page_of(title: str, text: str, form: str) -> str:
    """Write a page; `form` is HTML whose values its caller has escaped."""
    return _PAGE.format(title=escape(title), text=escape(text), form=form)


def ask_page(act: Act, token: str) -> str:
    """Write the page that asks before it does."""
    title, text, button = _ASK[act]
    return _PAGE.format(title=title, text=text, form=_FORM.format(token=escape(token, quote=True), button=button))


def answer_page(act: Act, text: str) -> str:
    """Write the page that says what came of it."""
    return _PAGE.format(title=_ASK[act][0], text=escape(text), form="")


def page_response(page: str, status: int = 200) -> HTMLResponse:
    """Answer with a page, which loads nothing and runs nothing."""
    return HTMLResponse(page, status, {"Content-Security-Policy": CONTENT_SECURITY_POLICY})
