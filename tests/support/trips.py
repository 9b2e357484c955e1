"""Counts a request's trips to PostgreSQL and Redis at the drivers: whatever is sent and waited for is a trip.

What wakes followers is sent once for all requests of 50 ms and nobody waits for it, so it does not count.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import pytest
from redis.asyncio.connection import AbstractConnection

from carteira.kit.outbound.wakes import CHANNEL

_SENDS = {"bind", "bind_execute", "bind_execute_many", "copy_in", "copy_out", "execute", "prepare", "query"}


@dataclass
class Trips:
    """The statements and commands that were sent, in order."""

    postgres: list[str] = field(default_factory=list)
    redis: list[str] = field(default_factory=list)


_counted: ContextVar[Trips | None] = ContextVar("counted_trips", default=None)
_of_all: list[Trips] = []
"""What the whole process sends is counted here, within `counted(by_all=True)`."""


class _Protocol:
    """The driver's protocol, which counts whatever it sends for a request."""

    def __init__(self, protocol: Any) -> None:  # noqa: ANN401 - asyncpg has no types
        self._protocol = protocol

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - the wrapped client's types
        found = getattr(self._protocol, name)
        trips = _present()
        if trips is None or name not in _SENDS:
            return found

        def send(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - the wrapped client's types
            what = next(iter((*arguments, *options.values())))
            trips.postgres.append(f"{name}: {' '.join(str(getattr(what, 'query', what)).split())}")
            return found(*arguments, **options)

        return send


def count_trips(monkeypatch: pytest.MonkeyPatch) -> None:
    """Count the trips of all connections that are opened from now on, within `counted`."""
    connect, send = asyncpg.connect, AbstractConnection.send_packed_command

    async def counting_connect(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - asyncpg's signature
        connection = await connect(*arguments, **options)
        connection._protocol = _Protocol(connection._protocol)  # noqa: SLF001 - the driver has no hook for all that it sends
        return connection

    async def counting_send(self: AbstractConnection, command: Any, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - the client's signature
        told = str(command[:1] if isinstance(command, list) else command)[:100]
        if (trips := _present()) and CHANNEL not in told:
            trips.redis.append(told)
        await send(self, command, *arguments, **options)

    monkeypatch.setattr(asyncpg, "connect", counting_connect)
    monkeypatch.setattr(AbstractConnection, "send_packed_command", counting_send)


def _present() -> Trips | None:
    return _of_all[-1] if _of_all else _counted.get()


@contextmanager
def counted(*, by_all: bool = False) -> Iterator[Trips]:
    """Count what is sent within the block, also by tasks that it starts.

    With `by_all` what all tasks send counts: a queue's writer is older than the requests that it decides.
    """
    trips = Trips()
    token = _counted.set(trips)
    if by_all:
        _of_all.append(trips)
    try:
        yield trips
    finally:
        _of_all.clear()
        _counted.reset(token)
