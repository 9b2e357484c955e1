"""The pages that an invitation's link opens. The first only asks, since mail scanners follow links."""

from collections.abc import Sequence

from carteira.identity.invitations.service import Opened
from carteira.identity.pages import LinkPage

_TITLE = "Convite para administrar"
_ACCEPT = "Aceitar o convite"


def begin_page(token: str) -> LinkPage:
    """Make the page that asks before acting."""
    text = "Você foi convidado a administrar a Carteira. Tenha à mão um aplicativo autenticador."
    return LinkPage(_TITLE, text, "Começar", "invitation/start", token)


def accept_page(token: str, opened: Opened) -> LinkPage:
    """Make the page that shows the authenticator's enrolment and asks for a password and a code."""
    enrolment = opened.enrolment
    return LinkPage(
        _TITLE,
        f"Conta: {opened.email}",
        _ACCEPT,
        "accept",
        token,
        asks_password=True,
        secret=enrolment.secret if enrolment else "",
        otpauth_uri=enrolment.otpauth_uri if enrolment else "",
    )


def again_page(token: str, problem: str) -> LinkPage:
    """Make the page that names the error and asks for password and code again."""
    return LinkPage(_TITLE, problem, _ACCEPT, "accept", token, asks_password=True)


def done_page(recovery_codes: Sequence[str]) -> LinkPage:
    """Make the page that shows the recovery codes."""
    text = "Pronto. Entre com a sua senha e um código do autenticador."
    kept = " Guarde estes códigos: cada um substitui o autenticador uma vez." if recovery_codes else ""
    return LinkPage(_TITLE, text + kept, codes=recovery_codes)


def over_page(problem: str) -> LinkPage:
    """Make the page of a link that is no longer valid."""
    return LinkPage(_TITLE, problem)
