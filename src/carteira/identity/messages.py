"""The messages that people get, in Portuguese, as text and as HTML."""

from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from carteira.kit.mail import Message

_SUBJECTS = {
    "recovery": "Seu código para redefinir a senha",
    "password_changed": "Sua senha foi alterada",
    "email_changed": "O e-mail da sua conta foi alterado",
}


@cache
def _templates() -> Environment:
    return Environment(
        loader=PackageLoader("carteira.identity", "templates"),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def compose(template: str, /, **values: Any) -> Message:  # noqa: ANN401 - what the template names
    """Fill a message's templates."""
    subject = _SUBJECTS[template]
    return Message(
        subject,
        _templates().get_template(f"{template}.txt").render(subject=subject, **values),
        _templates().get_template(f"{template}.html").render(subject=subject, **values),
    )


def recovery_sms(code: str, minutes: int) -> str:
    """Give the text of a recovery's SMS."""
    return f"Carteira: seu código é {code}. Vale por {minutes} minutos. Não passe este código a ninguém."
