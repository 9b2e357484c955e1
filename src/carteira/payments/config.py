"""Settings of payments, and a process's client of the provider."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from redis.asyncio import Redis

from carteira.kit.values.clock import clock
from carteira.kit.web.state import StateKey
from carteira.payments.provider import PixProvider, ProviderConfig, connected
from carteira.payments.purposes import Purposes


@dataclass(frozen=True, slots=True)
class ListenerConfig:
    """The listener for the provider's calls by mutual TLS: its certificate, and the trusted authority."""

    host: str
    port: int
    certificate: Path
    key: Path
    authority: Path


@dataclass(frozen=True)
class PaymentsConfig:
    """Settings of payments; without a provider there are no charges.

    Attributes:
        provider: How the provider is reached.
        merchant: The payee, as the payer's bank shows it.
        city: The payee's city.
        lasts: For how long a charge can be paid.
        simulated: Whether the provider is the stand-in.
        returns_by_themselves: Whether uncredited payments are returned without an operator.
        listener: The listener for the provider's calls, if this server has it.
        proxy_header: The header and value of a trusted proxy that has verified the provider's certificate.
        signature: The header in which the provider's calls carry an HMAC-SHA256 of their body, and the secret.
        webhook_url: The address for the provider's calls.
    """

    provider: ProviderConfig | None = None
    merchant: str = "Carteira"
    city: str = "Brasilia"
    lasts: timedelta = timedelta(minutes=30)
    simulated: bool = False
    returns_by_themselves: bool = True
    listener: ListenerConfig | None = None
    proxy_header: tuple[str, str] | None = None
    signature: tuple[str, str] | None = None
    webhook_url: str | None = None


class Payments:
    """A process's payments: the settings, the purposes, and the provider while it is open."""

    def __init__(self, config: PaymentsConfig, purposes: Purposes) -> None:
        self.config = config
        self.purposes = purposes
        self._open: PixProvider | None = None

    @asynccontextmanager
    async def running(self, redis: Redis | None) -> AsyncIterator[None]:
        """Keep the provider's client open for the length of the block."""
        if self.config.provider is None:
            yield
            return
        async with connected(self.config.provider, redis) as provider:
            self._open = provider
            try:
                yield
            finally:
                self._open = None

    async def count_today(self) -> int:
        """Count the payments of the last day in the provider's list.

        Raises:
            PaymentProviderDown, ProviderRefused.
        """
        now = clock.now()
        async with self.asking() as provider:
            return sum([len(page) async for page in provider.payments(now - timedelta(days=1), now)])

    async def register_webhook(self) -> str:
        """Register the webhook's address at the provider, and return the one that it then has.

        Raises:
            PaymentProviderDown, ProviderRefused.
            LookupError: no address is configured.
        """
        if self.config.webhook_url is None:
            raise LookupError("no address for the provider's calls is configured")
        async with self.asking() as provider:
            await provider.register_webhook(self.config.webhook_url)
            return await provider.webhook() or ""

    @asynccontextmanager
    async def asking(self) -> AsyncIterator[PixProvider]:
        """Yield the provider; a command, whose process holds none, gets one of its own.

        Raises:
            LookupError: none is configured.
        """
        if self.config.provider is None:
            raise LookupError("no provider of payments is configured")
        if self._open is not None:
            yield self._open
            return
        async with connected(self.config.provider, None) as provider:
            yield provider


PAYMENTS = StateKey[Payments]("payments")
