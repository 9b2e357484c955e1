"""The pages that an invitation's link opens. The first only asks, since mail scanners follow links."""

from collections.abc import Sequence
from html import escape

from carteira.identity.invitations.service import Opened
from carteira.identity.pages import page_of

_TITLE = "Convite para administrar"
_BEGIN = (
    '<form method="post" action="invitation/start"><input type="hidden" name="token" value="{token}">'
    "<button>Começar</button></form>"
)
_ACCEPT = """{authenticator}
<form method="post" action="accept"><input type="hidden" name="token" value="{token}">
<p><label>Nova senha<br><input name="password" type="password" autocomplete="new-password" required></label></p>
<p><label>Código do autenticador<br><input name="code" inputmode="numeric" autocomplete="one-time-code" required>
</label></p><button>Aceitar o convite</button></form>"""


def begin_page(token: str) -> str:
    """Write the page that asks before it does."""
    text = "Você foi convidado a administrar a Carteira. Tenha à mão um aplicativo autenticador."
    return page_of(_TITLE, text, _BEGIN.format(token=escape(token, quote=True)))


def accept_page(token: str, opened: Opened, problem: str = "") -> str:
    """Write the page that shows what sets the authenticator up and asks for a password and a code."""
    authenticator = ""
    if opened.enrolment is not None:
        authenticator = (
            "<p>Leia este código com o autenticador, ou digite a chave "
            f"<code>{escape(opened.enrolment.secret)}</code>.</p>{opened.enrolment.qr_svg}"
        )
    form = _ACCEPT.format(authenticator=authenticator, token=escape(token, quote=True))
    return page_of(_TITLE, problem or f"Conta: {opened.email}", form)


def again_page(token: str, problem: str) -> str:
    """Write the page that says what is wrong and asks for password and code once more."""
    return page_of(_TITLE, problem, _ACCEPT.format(authenticator="", token=escape(token, quote=True)))


def done_page(recovery_codes: Sequence[str]) -> str:
    """Write the page that shows the recovery codes."""
    lines = "".join(f"<li><code>{escape(code)}</code></li>" for code in recovery_codes)
    text = "Pronto. Entre com a sua senha e um código do autenticador."
    kept = f"<p>Guarde estes códigos: cada um substitui o autenticador uma vez.</p><ul>{lines}</ul>" if lines else ""
    return page_of(_TITLE, text, kept)


def over_page(problem: str) -> str:
    """Write the page of a link that is good no more."""
    return page_of(_TITLE, problem, "")
