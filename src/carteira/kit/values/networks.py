"""Network addresses of clients and proxies: their comparison and counting, and trusted proxies."""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Network = IPv4Network | IPv6Network
_IPV6_SITE = 64
"""Prefix length of one subscriber's network."""
_MAPPED = 96
"""Length of the IPv6 prefix before a mapped IPv4 address."""


def _address(text: str) -> str | None:
    """Return an address in the form for comparison: mapped IPv4 as IPv4; None: it is invalid."""
    try:
        found = ip_address(text)
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return str(mapped or found).partition("%")[0]


def network_of(address: str) -> str:
    """Return the network that an address counts for: itself, or one IPv6 subscriber's /64."""
    plain = _address(address)
    if plain is None or ":" not in plain:
        return plain or address
    return str(ip_network((plain, _IPV6_SITE), strict=False))


def _network(text: str) -> Network:
    """Parse a network, mapped IPv4 as IPv4; raise ValueError, in Portuguese, if it is invalid."""
    try:
        network = ip_network(text)
    except ValueError as error:
        raise ValueError(f"{text} não é um endereço nem uma rede (10.0.0.0/8)") from error
    mapped = network.network_address.ipv4_mapped if isinstance(network, IPv6Network) else None
    if mapped is None or network.prefixlen < _MAPPED:
        return network
    return IPv4Network((mapped, network.prefixlen - _MAPPED))


@dataclass(frozen=True, slots=True)
class TrustedProxies:
    """The networks whose `X-Forwarded-For` and `X-Forwarded-Proto` are trusted."""

    networks: tuple[Network, ...] = ()

    @classmethod
    def parse(cls, text: str) -> "TrustedProxies":
        """Parse `10.0.0.0/8, 2001:db8::/32`, or `none`.

        Raises:
            ValueError: a part is not a network.
        """
        parts = [part.strip() for part in text.split(",") if part.strip()]
        if parts == ["none"]:
            return cls()
        return cls(tuple(_network(part) for part in parts))

    def __contains__(self, address: str) -> bool:
        """Return whether an address is a trusted proxy's."""
        plain = _address(address)
        return plain is not None and any(ip_address(plain) in network for network in self.networks)

    def client(self, peer: str, forwarded_for: Sequence[str]) -> str:
        """Return the client's address: going from the peer backwards, the first one that is not a trusted proxy."""
        client = peer
        for text in reversed(forwarded_for):
            if client not in self:
                break
            named = _address(_without_port(text.strip()))
            if named is None:
                break  # no client is named: the proxy itself asks
            client = named
        return client


def _without_port(text: str) -> str:
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text
