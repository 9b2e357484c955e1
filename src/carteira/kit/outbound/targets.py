"""Calls to addresses that clients give: checked, resolved once and pinned, without redirects or proxies.

A client's address could make this machine call what the client cannot reach: neighbours, a cloud's metadata. So a name
is resolved once, all its addresses are checked, and the connection goes to one of the checked ones; TLS and `Host` use
the name. The next call resolves and checks again.

`trust_env` is off: a proxy would resolve the name again.
"""

import asyncio
import socket
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from threading import Lock
from typing import Any

import httpcore
import httpx
import structlog

from carteira.kit.ops import tracing
from carteira.kit.values.networks import Network

RESOLVE_SECONDS = 5.0
STEP_SECONDS = 5.0
WHOLE_SECONDS = 10.0
MAX_BYTES = 65_536
"""Most bytes that are read of an answer; only its status counts."""
MAX_URL = 2_000
_RESOLVERS = 64
MOST_LOOKED_UP = 10
"""Most concurrent look-ups for one client. A look-up that timed out goes on in its thread until the system's resolver
ends it; unanswered names of one client would otherwise occupy all threads."""
_HTTPS, _HTTP, _LAST_PORT = 443, 80, 65_535
_DIGITS = 5
_NOT_PUBLIC = tuple(map(ip_network, ("168.63.129.16/32", "192.0.0.0/24", "192.88.99.0/24", "64:ff9b:1::/48")))
"""Networks that some Python versions count as public, though no public server uses them: Azure's and Oracle's own, 6to4
relays, and a network's own gateway to IPv4, whose addresses only that network can translate (RFC 8215).
"""
_TRANSLATED = (IPv6Network("64:ff9b::/96"), IPv6Network("::/96"))
"""IPv6 prefixes that contain an IPv4 address, which a gateway forwards to (RFC 6052, 4291)."""

Address = IPv4Address | IPv6Address
log = structlog.get_logger(__name__)
_looked_up: Counter[str] = Counter()
_counting = Lock()
_resolvers = ThreadPoolExecutor(_RESOLVERS, thread_name_prefix="resolve")
"""Threads of their own: unanswered names must not occupy the process's other threads."""


class TargetRefused(Exception):
    """An address must not be called; `reason` says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class TargetDown(Exception):
    """An address is unreachable or too slow, or does not speak HTTP; `reason` says which."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class TargetReply:
    """An answer: its status, and the seconds of `Retry-After`, if it has that."""

    status: int
    retry_after: int | None

    @property
    def ok(self) -> bool:
        """Whether it is a 2xx."""
        return 200 <= self.status < 300  # noqa: PLR2004 - HTTP's own numbers


@dataclass(frozen=True, slots=True)
class Targets:
    """The rule for addresses: public ones and those in `networks`; over `https` only, unless `plain_http`."""

    networks: Sequence[Network] = ()
    plain_http: bool = False

    def check(self, url: str) -> httpx.URL:
        """Return an address in its parts if it may be called, as far as that is known without resolving its name.

        Raises:
            TargetRefused: `malformed`, `not_https`, `credentials` (they would appear in logs), `fragment`, or, for a
                numeric address, `network`.
        """
        if len(url) > MAX_URL or not url.isascii() or any(sign <= " " for sign in url):
            raise TargetRefused("malformed")
        try:
            parts = httpx.URL(url)
        except (httpx.InvalidURL, ValueError) as error:
            raise TargetRefused("malformed") from error
        if parts.scheme not in {"https", "http"} or not parts.host or not _has_port(parts):
            raise TargetRefused("malformed")
        if parts.scheme == "http" and not self.plain_http:
            raise TargetRefused("not_https")
        if parts.userinfo:
            raise TargetRefused("credentials")
        if parts.fragment:
            raise TargetRefused("fragment")
        try:
            literal = ip_address(parts.host)
        except ValueError:
            return parts
        self._judge([literal])
        return parts

    @asynccontextmanager
    async def reach(self, url: str, *, connections: int = 1, whose: str = "") -> AsyncIterator["Target"]:
        """Resolve an address and pin it for as long as the block lasts; look-ups are bounded for each client (`whose`).

        Raises:
            TargetRefused: as `check`.
            TargetDown: `name`: it is not found, one of its addresses must not be called, or too many look-ups are under
                way. The client does not learn which, since that would disclose internal names.
        """
        parts = self.check(url)
        port = parts.port or (_HTTPS if parts.scheme == "https" else _HTTP)
        addresses = await _resolve(parts.host, port, whose)
        try:
            self._judge(addresses)
        except TargetRefused as error:
            log.warning("address refused", host=parts.host, addresses=[str(address) for address in addresses])
            raise TargetDown("name") from error
        context = _tls() if parts.scheme == "https" else None
        async with httpcore.AsyncConnectionPool(
            ssl_context=context,
            max_connections=connections,
            max_keepalive_connections=connections,
            network_backend=_Pinned(addresses),
        ) as pool:
            yield Target(parts, pool)

    def _judge(self, addresses: Iterable[Address]) -> None:
        if not all(self._is_called(address) for address in addresses):
            raise TargetRefused("network")

    def _is_called(self, address: Address) -> bool:
        address = _plain(address)
        return is_public(address) or any(
            network.version == address.version and address in network for network in self.networks
        )


@dataclass(frozen=True, slots=True)
class Target:
    """A pinned address."""

    url: httpx.URL
    pool: httpcore.AsyncConnectionPool

    async def post(self, content: bytes, headers: Mapping[str, str]) -> TargetReply:
        """Post, and return the answer; a redirect is an answer and is not followed.

        The call is a span of the present trace, but carries no `traceparent`: the trace is internal.

        Raises:
            TargetDown: `unreachable`, `timeout`, `tls` or `not_http`.
        """
        with tracing.span("POST", "client", {"server.address": self.url.host}) as span:
            reply = await self._post(content, headers)
            if span is not None:
                span.attributes["http.response.status_code"] = reply.status
            return reply

    async def _post(self, content: bytes, headers: Mapping[str, str]) -> TargetReply:
        sent = {"Host": self.url.netloc.decode(), "Content-Length": str(len(content)), **headers}
        steps = dict.fromkeys(("connect", "read", "write", "pool"), STEP_SECONDS)
        try:
            async with (
                asyncio.timeout(WHOLE_SECONDS),
                self.pool.stream(
                    "POST", str(self.url), headers=[*sent.items()], content=content, extensions={"timeout": steps}
                ) as response,
            ):
                read = 0
                async for part in response.aiter_stream():
                    read += len(part)
                    if read > MAX_BYTES:
                        break
        except (httpcore.TimeoutException, TimeoutError) as error:
            raise TargetDown("timeout") from error
        except (httpcore.ProtocolError, ValueError) as error:
            raise TargetDown("not_http") from error
        except (httpcore.NetworkError, OSError) as error:
            raise TargetDown("tls" if _is_tls(error) else "unreachable") from error
        return TargetReply(response.status, _retry_after(response.headers))


def _has_port(parts: httpx.URL) -> bool:
    return parts.port is None or 0 < parts.port <= _LAST_PORT


def is_public(address: Address) -> bool:
    """Return whether an address is public, in whatever notation it is written."""
    address = _plain(address)
    if isinstance(address, IPv6Address) and (address.sixtofour or address.teredo or address.is_site_local):
        return False
    if any(network.version == address.version and address in network for network in _NOT_PUBLIC):
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def _plain(address: Address) -> Address:
    """Return the IPv4 address within an IPv6 one, if there is one, without a zone."""
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if any(address in network for network in _TRANSLATED) and int(address) > 1:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return IPv6Address(int(address))


@cache
def _tls() -> ssl.SSLContext:
    """Return the TLS context, made once, since reading all authorities takes tens of milliseconds."""
    return httpx.create_ssl_context(trust_env=True)


async def _resolve(host: str, port: int, whose: str) -> list[Address]:
    """Return a name's addresses, in the order in which they are tried.

    Raises:
        TargetDown: `name`: it is not found, not answered in time, or too many look-ups are under way.
    """
    try:
        async with asyncio.timeout(RESOLVE_SECONDS):
            found = await asyncio.wrap_future(_resolving(host, port, whose))
    except (OSError, UnicodeError, TimeoutError) as error:
        raise TargetDown("name") from error
    addresses = [ip_address(address) for address in dict.fromkeys(found)]
    if not addresses:
        raise TargetDown("name")
    return addresses


def _resolving(host: str, port: int, whose: str) -> Future[list[str]]:
    """Look a name up in a thread; it counts for as long as the thread runs, even if nobody waits for it any more.

    Raises:
        TargetDown: `name`: too many look-ups are under way.
    """

    def done(_: object) -> None:
        with _counting:
            _looked_up[whose] -= 1
            if not _looked_up[whose]:
                del _looked_up[whose]

    with _counting:
        if _looked_up[whose] >= MOST_LOOKED_UP:
            raise TargetDown("name")
        _looked_up[whose] += 1
    looking = _resolvers.submit(_resolve_name, host, port)
    looking.add_done_callback(done)
    return looking


def _resolve_name(host: str, port: int) -> list[str]:
    return [str(one[4][0]) for one in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def _retry_after(headers: Iterable[tuple[bytes, bytes]]) -> int | None:
    value = next((value.strip() for name, value in headers if name.lower() == b"retry-after"), b"")
    return int(value) if value.isdigit() and len(value) <= _DIGITS else None


def _is_tls(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLError):
            return True
        error = error.__cause__ or error.__context__
    return False


class _Pinned(httpcore.AsyncNetworkBackend):
    """Connects to the checked addresses, whatever the name resolves to by now."""

    def __init__(self, addresses: Sequence[Address]) -> None:
        self._addresses = addresses
        self._backend = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,  # noqa: ARG002 - checked already
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's own
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first address that accepts.

        Raises:
            httpcore.ConnectError, httpcore.ConnectTimeout: none does.
        """
        for address in self._addresses[:-1]:
            try:
                return await self._backend.connect_tcp(str(address), port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return await self._backend.connect_tcp(str(self._addresses[-1]), port, timeout, local_address, socket_options)

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await self._backend.sleep(seconds)
