"""SMS: through a provider's HTTP API in production; into a folder in development, so that no code is logged."""

from pathlib import Path
from typing import Protocol

import structlog

from carteira.kit.ops.private_files import create_private_file
from carteira.kit.outbound.http import TracedClient
from carteira.kit.outbound.mail import left_out
from carteira.kit.values.ids import uuid7

TIMEOUT_SECONDS = 10

log = structlog.get_logger(__name__)


class Sms(Protocol):
    """Sends a text to a phone of 10 or 11 digits."""

    async def send(self, phone: str, text: str) -> None:
        """Send it, or raise for the job to try again."""


class FolderSms:
    """Writes each message to a file of its own, readable by its owner only."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def send(self, phone: str, text: str) -> None:
        """Write the file and log its name."""
        path = self._folder / f"{uuid7()}.txt"
        create_private_file(path, f"Para: {phone}\n{text}\n".encode())
        log.info("sms written", file=path.name)


class HttpSms:
    """Posts `{"to": "+55…", "text": …}` with a bearer token; any 2xx means that the provider accepted it."""

    def __init__(self, url: str, token: str | None) -> None:
        self._url = url
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    async def send(self, phone: str, text: str) -> None:
        """Send it through the provider.

        Raises:
            httpx.HTTPError: the provider is unreachable or refused it.
        """
        async with TracedClient(timeout=TIMEOUT_SECONDS) as client:
            answer = await client.post(self._url, json={"to": f"+55{phone}", "text": text}, headers=self._headers)
            answer.raise_for_status()


class FewSms:
    """Sends to a list of phones only."""

    def __init__(self, sms: Sms, phones: frozenset[str]) -> None:
        self._sms = sms
        self._phones = phones

    async def send(self, phone: str, text: str) -> None:
        """Send it if the phone is on the list. Raises what the wrapped sender raises."""
        if phone in self._phones:
            await self._sms.send(phone, text)
            return
        left_out.labels("sms").inc()
        log.info("sms not sent")


def sms_of(url: str | None, token: str | None, home: Path, only_to: frozenset[str] | None = None) -> Sms:
    """Choose the adapter: HTTP where a provider is set, to `only_to` if that is given; else the folder."""
    if not url:
        return FolderSms(home / "sms")
    sms = HttpSms(url, token)
    return sms if only_to is None else FewSms(sms, only_to)
