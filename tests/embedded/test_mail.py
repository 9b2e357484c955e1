"""The embedded SMTP server keeps the e-mails that it receives, over a restart, too."""

import smtplib
from pathlib import Path

import httpx
import pytest

from carteira.embedded import EmbeddedServers
from carteira.kit.outbound.mail import Mailer, MailNotConfigured, Message, left_out
from carteira.kit.outbound.sms import sms_of
from tests.support.metric_values import value_of

LINK = "http://localhost:8000/auth/contacts/confirm?token=" + "Aa0_-" * 20
MESSAGE = Message("Olá", f"Código 123\n{LINK}\n", f'<p>Código 123: <a href="{LINK}">é meu</a></p>')


@pytest.mark.integration
async def test_mail_lands_in_the_maildir_and_stays(tmp_path: Path) -> None:
    with EmbeddedServers(tmp_path, postgres=False, redis=False, aws=False, mail=True) as servers:
        mailer = Mailer(servers.endpoints.smtp_url, "nao-responda@carteira.localhost")
        await mailer.send("maria@exemplo.com.br", MESSAGE)
        servers.mail.kill()
        assert servers.watch() == ["mail"]
        with pytest.raises(OSError, match="refused"):
            await mailer.send("maria@exemplo.com.br", MESSAGE)
        servers.restart("mail")
        await mailer.send("jose@exemplo.com.br", MESSAGE)
        received = sorted(file.read_text() for file in (servers.mail.maildir / "new").iterdir())
    assert len(received) == 2
    assert sum("To: maria@exemplo.com.br" in mail for mail in received) == 1
    for mail in received:
        assert f"\nCódigo 123\n{LINK}\n" in mail, "a link is copied unchanged from the file"
        assert f'<a href="{LINK}">é meu</a>' in mail


@pytest.mark.integration
async def test_a_refused_message_is_an_error(tmp_path: Path) -> None:
    with EmbeddedServers(tmp_path, postgres=False, redis=False, aws=False, mail=True) as servers:
        url = servers.endpoints.smtp_url.replace("smtp://", "smtp://user:password@")
        with pytest.raises(smtplib.SMTPException):
            await Mailer(url, "nao-responda@carteira.localhost").send("maria@exemplo.com.br", MESSAGE)
        with pytest.raises(smtplib.SMTPException):
            await Mailer(f"{servers.endpoints.smtp_url}?starttls=true", "a@b.c").send("x@exemplo.com.br", MESSAGE)


async def test_without_a_server_nothing_is_sent_silently() -> None:
    with pytest.raises(MailNotConfigured):
        await Mailer(None, "a@b.c").send("maria@exemplo.com.br", MESSAGE)


async def test_restricted_messages_go_only_to_allowed_recipients() -> None:
    before = value_of(left_out.labels("email")), value_of(left_out.labels("sms"))
    mailer = Mailer(None, "a@b.c", frozenset({"casa.example"}))
    await mailer.send("maria@exemplo.com.br", MESSAGE)
    await mailer.send("maria@sub.casa.example", MESSAGE)
    with pytest.raises(MailNotConfigured):
        await mailer.send("maria@CASA.example", MESSAGE)
    sms = sms_of("http://127.0.0.1:1/send", None, Path(), frozenset({"11987654321"}))
    await sms.send("11912345678", "Código")
    with pytest.raises(httpx.ConnectError):
        await sms.send("11987654321", "Código")
    after = value_of(left_out.labels("email")), value_of(left_out.labels("sms"))
    assert after == (before[0] + 2, before[1] + 1)
