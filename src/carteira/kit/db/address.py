"""PostgreSQL's address: one reading of `DATABASE_URL` for every driver, with all of libpq's options.

libpq itself parses the URL; the service file and the `PG…` variables supply the rest, as with libpq.
psycopg and PostgreSQL's programs get the result as it is; `kit.db.connecting` does the same with asyncpg. Options that
asyncpg cannot honour are refused by name, so that none works in one command and is ignored in another.
"""

import configparser
import getpass
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import psycopg
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict, make_conninfo

DEFAULT_PORT = 5432
APPLICATION_NAME = "carteira"
_PATIENCE = {
    "connect_timeout": "5",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
}
"""Time-outs where the address sets none: a silent machine is given up within 11 s.

They apply to waiting for its answer and to sending. The kernel's own time-outs are a quarter of an hour, or two hours.
"""
_SILENCE = ("keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout")
_NAME_BYTES = 63
SOCKET_FOLDERS = ("/run/postgresql", "/var/run/postgresql", "/tmp")  # noqa: S108 - usual folders of the socket
TLS_MODES = ("require", "verify-ca", "verify-full")

_DRIVER = re.compile(r"^postgres(?:ql)?\+\w+://")
_UNKNOWN = re.compile(r'(?:query parameter|connection option):? "([a-z][a-z_]{0,40})"')
_NAMES = {option.keyword.decode(): option for option in pq.Conninfo.parse(b"")}
_FILES = ("sslrootcert", "sslcert", "sslkey", "sslcrl")
_HONOURED = {
    *("user", "password", "passfile", "dbname", "host", "port", "options", "connect_timeout", "target_session_attrs"),
    *("application_name", "fallback_application_name", "load_balance_hosts", "krbsrvname", "gsslib"),
    *("sslmode", "sslnegotiation", "sslcert", "sslkey", "sslpassword", "sslrootcert", "sslcrl"),
    *("ssl_min_protocol_version", "ssl_max_protocol_version", "sslcompression"),  # libpq ignores the last one
    *_SILENCE,
}
_HARMLESS: Mapping[str, tuple[str, ...]] = {
    "channel_binding": ("prefer", "disable"),
    "gssencmode": ("prefer", "disable"),
    "gssdelegation": ("0",),
    "sslsni": ("1",),
    "sslcertmode": ("allow",),
    "min_protocol_version": ("3.0",),
    "max_protocol_version": ("3.0", "3.2", "latest"),
    "client_encoding": ("utf8", "UTF8", "utf-8", "UTF-8"),
}
"""Values that change nothing for asyncpg."""
_ONE_OF: Mapping[str, tuple[str, ...]] = {
    "sslmode": ("disable", "allow", "prefer", *TLS_MODES),
    "sslnegotiation": ("postgres", "direct"),
    "target_session_attrs": ("any", "read-write", "read-only", "primary", "standby", "prefer-standby"),
    "load_balance_hosts": ("disable", "random"),
}
_NUMBERS = ("connect_timeout", *_SILENCE)
_ENCODED = "em uma senha, @ : / ? # % se escrevem %40 %3A %2F %3F %23 %25"
_SETTING = re.compile(r"(?:-c\s*|--)([A-Za-z_][\w.-]*)=")


class AddressRefused(ValueError):
    """A database's address is invalid, or has an option that some driver cannot honour.

    The text is Portuguese, without secrets.
    """


@dataclass(frozen=True, slots=True)
class DatabaseHost:
    """One machine, or the folder of a Unix socket, and the port."""

    name: str
    port: int

    @property
    def is_socket(self) -> bool:
        """Whether it is a Unix socket."""
        return self.name.startswith("/")

    def __str__(self) -> str:
        return f"{self.name}:{self.port}"


@dataclass(frozen=True, slots=True)
class DatabaseAddress:
    """The database's address, read whole.

    Attributes:
        hosts: In the order in which they are tried.
        options: libpq's keywords and their values; the password is among them.
    """

    hosts: tuple[DatabaseHost, ...]
    options: Mapping[str, str] = field(repr=False)

    @classmethod
    def parse(cls, url: str) -> "DatabaseAddress":
        """Read an address as libpq does.

        Raises:
            AddressRefused: it is invalid, a file that it names cannot be read, or asyncpg cannot honour it.
        """
        options = _parsed(_DRIVER.sub("postgresql://", url.strip()))
        options = _of_service(options) | options
        for name, option in _NAMES.items():
            value = os.environ.get(option.envvar.decode()) if option.envvar else None
            if value and name not in options and name != "service":
                options[name] = value
        options = {name: value for name, value in options.items() if value and name not in {"service", "servicefile"}}
        _refuse_conflicts(options)
        hosts = tuple(_hosts(options.get("host", ""), options.get("port", "")))
        options["host"] = ",".join(host.name for host in hosts)
        options["port"] = ",".join(str(host.port) for host in hosts)
        named = options.pop("fallback_application_name", APPLICATION_NAME)
        options.setdefault("application_name", named)
        options = {**_PATIENCE, **options}
        return cls(hosts, options)

    def marked(self, mark: str) -> "DatabaseAddress":
        """Return the same address with a mark at the end of its `application_name` (63 bytes in PostgreSQL)."""
        if not mark:
            return self
        name = self.options["application_name"].encode()[: _NAME_BYTES - len(mark) - 1].decode(errors="ignore")
        return replace(self, options={**self.options, "application_name": f"{name} {mark}"})

    @property
    def conninfo(self) -> str:
        """The address for psycopg; it holds the password."""
        return make_conninfo(**self.options)

    @property
    def variables(self) -> dict[str, str]:
        """The address as environment variables for psql and pg_dump, since everybody can read a command line."""
        return {
            option.envvar.decode(): self.options[name]
            for name, option in _NAMES.items()
            if option.envvar and name in self.options
        }

    @property
    def patience(self) -> str:
        """The time-outs for a silent server, as a connection string: these options have no environment variables."""
        return make_conninfo(**{name: self.options[name] for name in _SILENCE if name in self.options})

    @property
    def place(self) -> str:
        """The address for people to read, without user and password."""
        return f"{','.join(map(str, self.hosts))}/{self.database}"

    @property
    def user(self) -> str:
        """The role in the address, or else the operating system's user."""
        return self.options.get("user") or getpass.getuser()

    @property
    def database(self) -> str:
        """The database's name, or else the role's."""
        return self.options.get("dbname", self.user)

    @property
    def demands_tls(self) -> bool:
        """Whether connections over a network must use TLS."""
        return self.options.get("sslmode") in TLS_MODES or self.options.get("sslrootcert") == "system"

    @property
    def settings(self) -> frozenset[str]:
        """The names of server settings in `options`; they override ours."""
        text = self.options.get("options", "")
        return frozenset(name.replace("-", "_").lower() for name in _SETTING.findall(text))

    def connect_seconds(self) -> float | None:
        """Return the time-out of one host; None: there is none."""
        return int(self.options["connect_timeout"]) or None


@dataclass(frozen=True, slots=True)
class Replica:
    """A replica's address, and the most seconds that it may be late."""

    url: str = field(repr=False)
    most_seconds: float


def _parsed(url: str) -> dict[str, str]:
    if not url:
        raise AddressRefused("está vazia")
    try:
        found = conninfo_to_dict(url)
    except psycopg.ProgrammingError as error:
        unknown = _UNKNOWN.search(str(error))
        if unknown is not None:
            raise AddressRefused(f"a opção {unknown[1]} não existe no PostgreSQL") from None
        raise AddressRefused(
            "não é um endereço do PostgreSQL (postgresql://usuário:senha@máquina:5432/banco?sslmode=verify-full)"
        ) from None
    return {name: str(value) for name, value in found.items() if value is not None}


def _of_service(options: Mapping[str, str]) -> dict[str, str]:
    """Return the options of the service that the address or `PGSERVICE` names.

    Raises:
        AddressRefused: no file has the service, or it holds an unknown option.
    """
    name = options.get("service") or os.environ.get("PGSERVICE")
    if not name:
        return {}
    given = options.get("servicefile") or os.environ.get("PGSERVICEFILE")
    system = os.environ.get("PGSYSCONFDIR", "/etc/postgresql-common")
    for file in (Path(given) if given else Path.home() / ".pg_service.conf", Path(system, "pg_service.conf")):
        services = configparser.ConfigParser(interpolation=None, delimiters=("=",), comment_prefixes=("#",))
        try:
            services.read(file, encoding="utf-8")
        except (OSError, configparser.Error, UnicodeDecodeError):
            raise AddressRefused(f"o arquivo de serviços {file} não pôde ser lido") from None
        if services.has_section(name):
            found = dict(services.items(name))
            for option in found.keys() - _NAMES.keys():
                raise AddressRefused(f"a opção {option}, do serviço {name}, não existe no PostgreSQL")
            return found
    raise AddressRefused(f"o serviço {name} não está em nenhum pg_service.conf")


def _refuse_conflicts(options: Mapping[str, str]) -> None:
    for name, value in options.items():
        if name in _HONOURED or value in _HARMLESS.get(name, ()):
            continue
        said = f"{name}={value}" if name in _HARMLESS else name
        raise AddressRefused(f"a opção {said} não é atendida por todas as conexões da Carteira: retire-a")
    for name, values in _ONE_OF.items():
        if options.get(name, values[0]) not in values:
            raise AddressRefused(f"{name} é um de {', '.join(values)}")
    for name in _NUMBERS:
        if not options.get(name, "0").isdigit():
            raise AddressRefused(f"{name} é um número")
    _refuse_unreadable(options)


def _refuse_unreadable(options: Mapping[str, str]) -> None:
    """Refuse a TLS file that cannot be read, by its name; a driver would only report that no host answers."""
    mode, root = options.get("sslmode"), options.get("sslrootcert")
    for name in _FILES:
        file = options.get(name)
        if file and not (name == "sslrootcert" and file == "system") and not os.access(file, os.R_OK):
            raise AddressRefused(f"{name}: o arquivo {file} não pôde ser lido")
    if root == "system" and mode not in {None, "verify-full"}:
        raise AddressRefused("sslrootcert=system pede sslmode=verify-full")
    own = Path.home() / ".postgresql" / "root.crt"
    if mode in {"verify-ca", "verify-full"} and not root and not os.access(own, os.R_OK):
        raise AddressRefused(f"sslmode={mode} pede sslrootcert=arquivo (ou system), ou {own}")


def _hosts(names: str, ports: str) -> Iterator[DatabaseHost]:
    every_name, every_port = names.split(","), ports.split(",")
    if len(every_port) == 1:
        every_port *= len(every_name)
    if len(every_port) != len(every_name):
        raise AddressRefused("há de haver uma porta só, ou uma por máquina")
    for name, port in zip(every_name, every_port, strict=True):
        if port and not (port.isdigit() and 0 < int(port) < 2**16):
            raise AddressRefused(f"a porta é um número de 1 a 65535 ({_ENCODED})")
        if name.startswith("@"):
            raise AddressRefused("soquetes abstratos (@…) não são atendidos por todas as conexões da Carteira")
        if "@" in name and not name.startswith("/"):
            raise AddressRefused(f"há mais de um @ ({_ENCODED})")
        number = int(port or DEFAULT_PORT)
        yield DatabaseHost(name or _default_host(number), number)


def _default_host(port: int) -> str:
    """Return where a server of this machine listens: the folder that holds its socket, else `localhost`.

    libpq knows one folder, set when it was built; a wheel's differs from a distribution's.
    """
    return next((folder for folder in SOCKET_FOLDERS if Path(folder, f".s.PGSQL.{port}").exists()), "localhost")
