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
<meta name="color-scheme" content="light dark"><meta name="robots" content="noindex">
<title>{title} · Carteira</title>
<style>:root{{--paper:#f5f3ed;--ink:#14231f;--card:#fff;--line:#d9d5c8;--act:#0b6757;--on-act:#fff}}
@media(prefers-color-scheme:dark){{:root{{--paper:#0d1513;--ink:#e8efec;--card:#16201d;--line:#33413d;--act:#5cc9b1;
--on-act:#06231d}}}}body{{font:1.0625rem/1.5 "Figtree Variable",system-ui,sans-serif;margin:0;background:var(--paper);
color:var(--ink)}}header{{background:#0c302a;color:#f1f6f3;padding:1.25rem;font-weight:650}}main{{margin:1.5rem auto;
width:min(28rem,100% - 2rem);box-sizing:border-box;padding:1.25rem;background:var(--card);
border:1px solid var(--line);border-radius:20px;
overflow-wrap:anywhere}}h1{{font-size:1.5rem;line-height:1.2;margin:0 0 .75rem}}input{{font:inherit;width:100%;
box-sizing:border-box;padding:.7rem;border:1px solid #6d7a75;border-radius:12px;background:var(--card);color:inherit}}
button{{font:inherit;font-weight:600;min-height:3rem;
width:100%;padding:.7rem 1.2rem;border:0;border-radius:12px;
background:var(--act);color:var(--on-act)}}svg{{display:block;max-width:14rem;margin:0 auto;background:#fff}}
</style></head>
<body><header>Carteira</header><main><h1>{title}</h1><p>{text}</p>{form}</main></body></html>
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
