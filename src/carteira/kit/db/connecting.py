"""asyncpg's connections, opened as libpq would open them."""

import asyncio
import random
import socket
import ssl
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlencode
from weakref import WeakKeyDictionary

import asyncpg

from carteira.kit.db.address import DatabaseAddress, DatabaseHost
from carteira.kit.ops import tracing

_TLS_OPTIONS = (
    *("sslmode", "sslnegotiation", "sslcert", "sslkey", "sslpassword", "sslrootcert", "sslcrl"),
    *("ssl_min_protocol_version", "ssl_max_protocol_version"),
)
_KEEPALIVES = {
    "keepalives_idle": "TCP_KEEPIDLE",
    "keepalives_interval": "TCP_KEEPINTVL",
    "keepalives_count": "TCP_KEEPCNT",
    "tcp_user_timeout": "TCP_USER_TIMEOUT",
}
_TRY_NEXT = (OSError, TimeoutError, asyncpg.PostgresConnectionError, asyncpg.CannotConnectNowError)
_led: dict[tuple[tuple[DatabaseHost, ...], str], DatabaseHost] = {}
"""For several hosts, the one that was last suitable.

It is tried first, since each other host may be silent for a while.
"""
_host_of: WeakKeyDictionary[Any, DatabaseHost] = WeakKeyDictionary()
"""The host of each open connection."""
_SET = "SELECT set_config(name, value, false) FROM unnest($1::text[], $2::text[]) AS setting (name, value)"


async def connect(address: DatabaseAddress, settings: Mapping[str, str], **arguments: Any) -> Any:  # noqa: ANN401 - as asyncpg's
    """Open a connection to the first suitable host, and set the server settings that the address leaves open.

    They are set by a statement, since PgBouncer refuses unknown ones at the start of a connection.

    Raises:
        OSError: no host answers, or none fits `target_session_attrs`.
        asyncpg.PostgresError: a host answers and refuses the connection.
    """
    if tracing.is_on():
        from carteira.kit.db.spans import TracedConnection  # noqa: PLC0415 - the tracing connection is another class

        arguments = {**arguments, "connection_class": TracedConnection}
    connection = await _first(address, arguments)
    try:
        wanted = {name: value for name, value in settings.items() if name not in address.settings}
        if wanted:
            await connection.execute(_SET, list(wanted), list(wanted.values()), timeout=address.connect_seconds())
    except BaseException:
        connection.terminate()
        raise
    return connection


def host_of(connection: Any) -> DatabaseHost:  # noqa: ANN401 - as asyncpg's
    """Return where an open connection leads."""
    return _host_of[connection]


async def answers(address: DatabaseAddress, host: DatabaseHost, seconds: float) -> bool:
    """Return whether a host answers a new connection in time."""
    other = None
    try:
        async with asyncio.timeout(seconds):
            other = await _open(address, host, {"target_session_attrs": "any"})
            await other.fetchrow(";")
    except asyncpg.PostgresError:
        return True  # it has no room, for instance
    except OSError:
        return False
    finally:
        if other is not None:
            other.terminate()
    return True


async def _first(address: DatabaseAddress, arguments: Mapping[str, Any]) -> Any:  # noqa: ANN401 - as asyncpg's
    """Try host after host with a time-out each; asyncpg's is for all hosts, and a silent first one would use it up."""
    hosts = list(address.hosts)
    wanted = address.options.get("target_session_attrs", "any")
    if address.options.get("load_balance_hosts") == "random":
        random.shuffle(hosts)
    elif (led := _led.get((address.hosts, wanted))) is not None:
        hosts.sort(key=lambda host: host != led)
    last: BaseException | None = None
    for attribute in ("standby", "any") if wanted == "prefer-standby" else (wanted,):
        for host in hosts:
            try:
                connection = await _open(address, host, {**arguments, "target_session_attrs": attribute})
            except asyncpg.TargetServerAttributeNotMatched as error:
                last = ConnectionRefusedError(f"{host} is not {wanted}")
                last.__cause__ = error
            except _TRY_NEXT as error:
                last = error
            else:
                _led[address.hosts, wanted] = host
                return connection
    assert last is not None
    raise last


async def _open(address: DatabaseAddress, host: DatabaseHost, arguments: Mapping[str, Any]) -> Any:  # noqa: ANN401 - as asyncpg's
    options = address.options
    startup = {name: options[name] for name in ("application_name", "options") if name in options}
    connection = await asyncpg.connect(
        dsn="postgresql://?" + urlencode(dict(_tls_options(options)), quote_via=quote),
        host=host.name,
        port=host.port,
        user=options.get("user"),
        password=options.get("password"),
        database=options.get("dbname"),
        passfile=options.get("passfile"),
        krbsrvname=options.get("krbsrvname"),
        gsslib=options.get("gsslib"),
        ssl=_tls(options, host),
        timeout=address.connect_seconds(),
        server_settings=startup,
        **arguments,
    )
    if not host.is_socket:
        _keep_alive(connection, options)
    _host_of[connection] = host
    return connection


def _tls(options: Mapping[str, str], host: DatabaseHost) -> ssl.SSLContext | str | None:
    """Return asyncpg's TLS argument where asyncpg reads the options in another way than libpq."""
    if host.is_socket:
        return "disable"
    if options.get("sslrootcert") != "system":
        return None
    context = ssl.create_default_context()
    if "sslcert" in options:
        context.load_cert_chain(options["sslcert"], options.get("sslkey"), lambda: options.get("sslpassword", ""))
    return context


def _tls_options(options: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name in _TLS_OPTIONS:
        if name in options and not (name == "sslrootcert" and options[name] == "system"):
            yield name, options[name]


def _keep_alive(connection: Any, options: Mapping[str, str]) -> None:  # noqa: ANN401 - asyncpg has no types
    """Turn TCP keepalive on, as libpq does by default."""
    if options.get("keepalives") == "0":
        return
    raw = connection._transport.get_extra_info("socket")  # noqa: SLF001 - asyncpg has no other way to the socket
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, constant in _KEEPALIVES.items():
        number = getattr(socket, constant, None)
        if number is not None and options.get(name, "0") != "0":
            raw.setsockopt(socket.IPPROTO_TCP, number, int(options[name]))
