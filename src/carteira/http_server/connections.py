"""Bounds of connections: how many a process holds, and how long they may keep it waiting."""

from collections import Counter
from dataclasses import dataclass, field
from ipaddress import ip_address

import prometheus_client

from carteira.http_server.refusals import Refused
from carteira.kit.values.networks import TrustedProxies, network_of

MAX_HEAD_BYTES = 65_536
MAX_HEAD_LINES = 100
"""The most lines of a head: the request line, and one for each header."""

refused = prometheus_client.Counter(
    "carteira_http_connections_refused",
    "Connections closed for what they sent, for silence or by a limit",
    ["reason"],
)
open_connections = prometheus_client.Gauge(
    "carteira_http_connections", "Connections that are open", multiprocess_mode="livesum"
)


@dataclass(frozen=True, slots=True)
class Bounds:
    """The settings of a connection."""

    head_seconds: float = 15.0
    """Seconds to wait for a connection's first byte, a head from its first byte, and each `MIN_PROGRESS` of a body."""
    keep_alive_seconds: float = 75.0
    max_connections: int = 4096
    max_connections_per_address: int = 1024
    trusted: TrustedProxies = field(default_factory=TrustedProxies)
    """Trusted proxies carry many people's requests, so their connections count only in the total."""


class Connections:
    """The open connections of one process, by their networks."""

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        self._total = 0
        self._by_network: Counter[str] = Counter()

    def admit(self, address: str) -> Refused | None:
        """Count a connection; return why it exceeds a limit, or None.

        Every connection must be `release`d, even a refused one.
        """
        self._total += 1
        open_connections.inc()
        network = self._counted(address)
        if network is not None:
            self._by_network[network] += 1
            if self._by_network[network] > self.bounds.max_connections_per_address:
                return Refused.TOO_MANY_OF_ADDRESS
        return Refused.TOO_MANY if self._total > self.bounds.max_connections else None

    def release(self, address: str) -> None:
        """Stop counting a connection."""
        self._total -= 1
        open_connections.dec()
        network = self._counted(address)
        if network is not None:
            self._by_network[network] -= 1
            if not self._by_network[network]:
                del self._by_network[network]

    def _counted(self, address: str) -> str | None:
        try:
            ip_address(address)
        except ValueError:
            return None  # a Unix socket has no address
        return None if address in self.bounds.trusted else network_of(address)
