"""A module's contributions: its routes, its background work and its part of a person's data."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from fastapi import APIRouter, FastAPI
from procrastinate import Blueprint
from redis.asyncio import Redis
from sqlalchemy import SelectBase
from starlette.types import ASGIApp

from carteira.kit.db.engine import Database
from carteira.kit.db.outbox import Follower
from carteira.kit.db.session import Tx
from carteira.kit.web.access import Bindings
from carteira.kit.web.approvals import Operation
from carteira.kit.web.state import StateKey


@dataclass(frozen=True, slots=True)
class ConnectionLane:
    """A lane for requests that are answered from their bytes alone, beside ASGI; a module sets it as `LANE`.

    `take(data, respond)` returns whether it accepts a whole request that begins with `start`; if so it calls `respond`
    once with the whole HTTP answer.
    """

    start: bytes
    take: Callable[[bytes, Callable[[bytes], None]], bool]


LANE = StateKey[ConnectionLane]("lane")
"""Unset where no module has a lane."""


@dataclass(frozen=True, slots=True)
class Workplace:
    """The connections of a worker."""

    database: Database
    redis: Redis | None


@dataclass(frozen=True)
class Module:
    """One module, as `app` and `worker` see it. A module that is off contributes nothing."""

    name: str
    routers: Sequence[APIRouter] = ()
    jobs: Blueprint | None = None
    followers: Sequence[Follower] = ()
    body_limits: Mapping[str, int] = field(default_factory=dict)
    """Largest body in bytes under a path prefix, where it exceeds the setting."""
    time_limits: Mapping[str, float] = field(default_factory=dict)
    """Seconds for reading and answering a request under a path prefix, where they exceed the setting."""
    gates: Mapping[str, Callable[[FastAPI], ASGIApp]] = field(default_factory=dict)
    """Lean ASGI endpoints by path prefix, answered before FastAPI and its middleware."""
    lifespan: Callable[[FastAPI], AbstractAsyncContextManager[None]] | None = None
    """Opens the module's parts in a server process, and closes them at its end."""
    working: Callable[[Workplace], AbstractAsyncContextManager[None]] | None = None
    """Opens the module's parts in a worker, and closes them at its end."""
    readiness: Mapping[str, Callable[[FastAPI], Awaitable[object]]] = field(default_factory=dict)
    """Checks of the module's own dependencies by name: False or an error means not ready; a text means ready, and says
    what is missing."""
    operations: Sequence[Operation[Any]] = ()
    """Kinds of operations that may need a second person."""
    bindings: Bindings | None = None
    """The module's bindings of people and clients to what they work for."""
    observe: Callable[[Tx], Awaitable[None]] | None = None
    """Sets the metrics that only the database knows; the worker calls it every few seconds."""
    ids_of_person: Callable[[UUID, str | None], SelectBase | None] | None = None
    """Returns the query of the ids, beside the user's, under which the module records looks at a person with this
    proven CPF; None: there are none."""
    export_person: Callable[[Tx, UUID], Awaitable[Mapping[str, Any]]] | None = None
    """Everything that the module holds about a person, JSON-ready (LGPD art. 18, II and V)."""
    follow_cpf: Callable[[Tx, UUID, str | None], Awaitable[None]] | None = None
    """Updates a person's CPF in the module's own rows (None: they have none any more), in the transaction that changes
    it."""
    refuse_erasure: Callable[[Tx, UUID], Awaitable[None]] | None = None
    """Raises `Conflict` while a person has balances or holds, and keeps new ones out until the transaction ends."""
    erase_person: Callable[[Tx, UUID], Awaitable[None]] | None = None
    """Erases the person's data in the module (LGPD art. 18, VI), whatever balance is left."""
    traces_of_person: Callable[[Tx, UUID], Awaitable[Mapping[str, Any]]] | None = None
    """The ids and keyed hashes, JSON-ready, by which the module finds a person in a restored earlier state, where the
    user's id may not lead to them."""
    erase_traces: Callable[[Tx, Mapping[str, Any]], Awaitable[None]] | None = None
    """Erases what the module keeps under such traces; a second call changes nothing."""
