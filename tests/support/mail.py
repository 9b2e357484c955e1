"""The e-mails that were delivered, and what they say."""

import re
from email import message_from_bytes, policy
from email.message import EmailMessage
from functools import cache
from pathlib import Path


def mail_to(maildir: str, address: str) -> list[EmailMessage]:
    """Return the e-mails delivered to an address, oldest first."""
    files = sorted(Path(maildir, "new").iterdir(), key=lambda path: path.stat().st_mtime_ns)
    return [message for to, message in map(_read, files) if to == address]


@cache
def _read(file: Path) -> tuple[str, EmailMessage]:
    """Return a delivered e-mail with its receiver; by the end of a run there are thousands."""
    message = message_from_bytes(file.read_bytes(), policy=policy.default)
    assert isinstance(message, EmailMessage)
    return message["To"], message


def parts_of(message: EmailMessage) -> tuple[str, str]:
    """Return an e-mail's text and its HTML."""
    text, html = message.get_body(("plain",)), message.get_body(("html",))
    assert text is not None
    assert html is not None
    return text.get_content(), html.get_content()


def code_in(text: str, digits: int) -> str:
    """Return the code that a message carries."""
    found = re.search(rf"\b[0-9]{{{digits}}}\b", text)
    assert found, text
    return found[0]


def body_of(message: EmailMessage, kind: str) -> str:
    """Return an e-mail's body of a kind: `plain` or `html`."""
    return parts_of(message)[kind == "html"]
