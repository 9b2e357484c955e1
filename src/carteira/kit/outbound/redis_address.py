"""The address of Redis: a server, or the master of a service that Sentinels watch; the one parser of `REDIS_URL`.

`redis+sentinel://user:password@s1:26379,s2:26379/0?service=carteira` names the Sentinels, which know the master. User,
password, database and options are of Redis itself; `sentinel_username` and `sentinel_password` are of the Sentinels.
"""

import re
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlencode, urlsplit

DEFAULT_PORT, SENTINEL_PORT = 6379, 26379
_SCHEMES = {"redis": False, "rediss": False, "redis+sentinel": True, "rediss+sentinel": True}
_LOOKS = (
    "Escreva como em rediss://:senha@máquina:6379/0 ou "
    "rediss+sentinel://:senha@máquina1:26379,máquina2:26379/0?service=nome"
)
_UP_TO_THE_PATH = re.compile(r"[^/?#]*")
_DATABASE = re.compile(r"/?[0-9]{0,4}", re.ASCII)
_SERVICE = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]{1,5}))?", re.ASCII)
_UNVERIFIED = re.compile(r"(^|&)ssl_(cert_reqs=(?!required)|check_hostname=(?!true|1|yes))", re.IGNORECASE)
"""The parameters by which redis-py accepts a certificate of any name."""


class RedisAddressRefused(ValueError):
    """The text is not an address of Redis; the message is Portuguese, without secrets."""


@dataclass(frozen=True, slots=True)
class RedisHost:
    """A machine and a port."""

    name: str
    port: int

    def __str__(self) -> str:
        return f"{self.name}:{self.port}"


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """The address, read whole.

    Attributes:
        hosts: The server, or the Sentinels in the order in which they are asked.
        is_tls: Whether all of them are reached by TLS.
        service: The master's name at the Sentinels; None: there are no Sentinels.
        client_url: The address as the client reads it; for a service it has credentials, database and options alone.
        sentinel_options: User and password of the Sentinels, as the client names them.
    """

    hosts: tuple[RedisHost, ...]
    is_tls: bool
    service: str | None
    client_url: str = field(repr=False)
    sentinel_options: tuple[tuple[str, str], ...] = field(repr=False, default=())

    @classmethod
    def parse(cls, url: str) -> "RedisAddress":
        """Read an address.

        Raises:
            RedisAddressRefused: the text is not an address of Redis.
        """
        scheme, _, rest = url.strip().partition("://")
        place = _UP_TO_THE_PATH.match(rest)
        assert place is not None, "it matches nothing, too"
        # Python's own parser accepts no list of hosts that contains an IPv6 address.
        parts = urlsplit(f"{scheme}://{rest[place.end() :]}")
        by_sentinel = _SCHEMES.get(parts.scheme)
        if by_sentinel is None:
            raise RedisAddressRefused(_LOOKS)
        if not _DATABASE.fullmatch(parts.path) or parts.fragment:
            raise RedisAddressRefused("depois da porta vem o número do banco, como em redis://máquina:6379/0")
        credentials, _, hosts = place[0].rpartition("@")
        found = tuple(_host(text, SENTINEL_PORT if by_sentinel else DEFAULT_PORT) for text in hosts.split(","))
        kind = parts.scheme.partition("+")[0]
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        if not by_sentinel:
            if len(found) > 1:
                raise RedisAddressRefused(f"várias máquinas só com Sentinel. {_LOOKS}")
            return cls(found, kind == "rediss", None, url.strip())
        service = options.pop("service", "")
        if not _SERVICE.fullmatch(service):
            raise RedisAddressRefused("service diz que nome os Sentinels dão ao Redis, como em ?service=carteira")
        own = [(name, options.pop(f"sentinel_{name}", "")) for name in ("username", "password")]
        signed = f"{credentials}@" if credentials else ""
        client_url = f"{kind}://{signed}{service}{parts.path}" + (f"?{urlencode(options)}" if options else "")
        return cls(found, kind == "rediss", service, client_url, tuple((name, text) for name, text in own if text))

    @property
    def is_verified(self) -> bool:
        """Whether a certificate must carry the server's name."""
        return self.is_tls and not _UNVERIFIED.search(urlsplit(self.client_url).query)

    @property
    def place(self) -> str:
        """The address for people to read, without user and password."""
        hosts = ",".join(str(host) for host in self.hosts)
        return hosts if self.service is None else f"{self.service}, por {hosts}"


def _host(text: str, port: int) -> RedisHost:
    found = _HOST.fullmatch(text) if text else None
    if text and found is None:
        raise RedisAddressRefused(_LOOKS)
    number = int(found[2] or port) if found else port
    if not 0 < number < 2**16:
        raise RedisAddressRefused("a porta é um número de 1 a 65535")
    return RedisHost(found[1].strip("[]") if found else "localhost", number)
