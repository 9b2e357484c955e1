"""What payments is told by the settings, and the provider as a process holds it."""

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
    """Where the provider's calls are heard by mutual TLS: what is shown, and whose certificates are believed."""

    host: str
    port: int
    certificate: Path
    key: Path
    authority: Path


@dataclass(frozen=True)
class PaymentsConfig:
    """What payments is told; without a provider nothing is charged.

    Attributes:
        provider: How the provider is reached.
        merchant: Who is paid, as the payer's bank shows it.
        city: Where they are.
        lasts: For how long a charge can be paid.
        simulated: Whether the provider is the stand-in.
        returns_by_themselves: Whether what belongs nowhere is returned without an operator.
        listener: Where the provider's calls are heard, if here.
        proxy_header: The header and its value by which a trusted proxy says that it saw the provider's certificate.
        signature: The header in which the provider's calls carry an HMAC-SHA256 of their body, and the secret.
        webhook_url: Where the provider is to call.
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
    """What a process knows of payments: its settings, what is paid for, and the provider while it is open."""

    def __init__(self, config: PaymentsConfig, purposes: Purposes) -> None:
        self.config = config
        self.purposes = purposes
        self._open: PixProvider | None = None

    @asynccontextmanager
    async def running(self, redis: Redis | None) -> AsyncIterator[None]:
        """Hold the provider open for as long as a process serves or works."""
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
        """Tell the provider where to call, and give the address that it then has.

        Raises:
            PaymentProviderDown, ProviderRefused.
            LookupError: no address is configured.
        """
        if self.config.webhook_url is None:
            raise LookupError("no address for the provider's calls is configured")
        async with self.asking() as provider:
            await provider.tell_webhook(self.config.webhook_url)
            return await provider.webhook() or ""

    @asynccontextmanager
    async def asking(self) -> AsyncIterator[PixProvider]:
        """Yield the provider; one of its own to who runs outside of a process that holds it (a command).

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
