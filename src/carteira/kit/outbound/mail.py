"""E-mail over SMTP: one message, text and HTML, to one address. Jobs send it, never a request."""

import asyncio
import smtplib
import ssl
from dataclasses import dataclass
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from urllib.parse import parse_qs, unquote, urlsplit

import structlog
from prometheus_client import Counter

from carteira.kit.ops import tracing

TIMEOUT_SECONDS = 15

left_out = Counter(
    "carteira_messages_left_out", "Messages dropped because the settings do not allow their recipient", ["kind"]
)
log = structlog.get_logger(__name__)


class MailNotConfigured(RuntimeError):
    """There is a message to send, and `SMTP_URL` is not set."""


@dataclass(frozen=True)
class Message:
    """An e-mail: subject, text, and the text as HTML."""

    subject: str
    text: str
    html: str


@dataclass(frozen=True)
class Mailer:
    """Sends e-mails over the server that a URL names.

    `smtp://user:password@host:port` (with `?starttls=true` where the server offers it) or `smtps://…`.
    """

    url: str | None
    sender: str
    only_to: frozenset[str] | None = None
    """The only domains that messages go to; None: all."""

    async def send(self, to: str, message: Message, *, message_id: str | None = None) -> None:
        """Send a message; the blocking conversation runs in a thread.

        Messages to domains outside of `only_to` are dropped. With a `message_id` of the caller's, mail programs
        recognise a message that a job sends twice.

        Raises:
            MailNotConfigured: there is no server.
            OSError: the server is unreachable or refused the message (`smtplib.SMTPException` is one too).
        """
        domain = to.rpartition("@")[2].lower()
        if self.only_to is not None and domain not in self.only_to:
            left_out.labels("email").inc()
            log.info("mail not sent", domain=domain)
            return
        if self.url is None:
            raise MailNotConfigured("SMTP_URL is not set")
        host = urlsplit(self.url).hostname or "localhost"
        with tracing.span("SMTP send", "client", {"server.address": host}):
            await asyncio.to_thread(_send, self.url, self._compose(to, message, message_id))

    def _compose(self, to: str, message: Message, message_id: str | None) -> EmailMessage:
        mail = EmailMessage()
        mail["From"] = Address("Carteira", addr_spec=self.sender)
        mail["To"] = Address(addr_spec=to)
        mail["Subject"] = message.subject
        mail["Date"] = formatdate()
        domain = self.sender.rpartition("@")[2]
        mail["Message-ID"] = f"<{message_id}@{domain}>" if message_id else make_msgid(domain=domain)
        mail["Auto-Submitted"] = "auto-generated"
        mail["Content-Language"] = "pt-BR"
        mail.set_content(message.text)
        mail.add_alternative(message.html, subtype="html")
        return mail


def _send(url: str, mail: EmailMessage) -> None:
    parts = urlsplit(url)
    host = parts.hostname or "localhost"
    if parts.scheme == "smtps":
        server: smtplib.SMTP = smtplib.SMTP_SSL(
            host, parts.port or 465, timeout=TIMEOUT_SECONDS, context=ssl.create_default_context()
        )
    else:
        server = smtplib.SMTP(host, parts.port or 25, timeout=TIMEOUT_SECONDS)
    with server:
        if parts.scheme == "smtp" and parse_qs(parts.query).get("starttls") == ["true"]:
            server.starttls(context=ssl.create_default_context())
        if parts.username:
            server.login(unquote(parts.username), unquote(parts.password or ""))
        server.send_message(mail)
