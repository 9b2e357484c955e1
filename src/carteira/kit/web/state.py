"""The values that an application keeps for its requests, each under a typed key, set at the start or in the lifespan.

A module makes the keys of its own values; the keys here are for values of the composition root.
"""

from typing import Generic, TypeVar

from fastapi import FastAPI, Request
from pydantic_settings import BaseSettings
from redis.asyncio import Redis

from carteira.kit.db.engine import Database
from carteira.kit.db.outbox import Backlog
from carteira.kit.security.audit_trail import AuditTrail

T = TypeVar("T")


class StateKey(Generic[T]):
    """The name and the type of one value of `app.state`. `Depends(key)` passes the value to a route."""

    def __init__(self, name: str) -> None:
        self._name = name

    def set(self, app: FastAPI, value: T) -> None:
        """Set the application's value, in place of an earlier one."""
        setattr(app.state, self._name, value)

    def of(self, app: FastAPI) -> T:
        """Return the application's value.

        Raises:
            AttributeError: it was not set.
        """
        value: T = getattr(app.state, self._name)
        return value

    def get(self, app: FastAPI) -> T | None:
        """Return the application's value; None if it was not set, as by a module that is off."""
        value: T | None = getattr(app.state, self._name, None)
        return value

    async def __call__(self, request: Request) -> T:
        """Return the value for a route that depends on it."""
        return self.of(request.app)


SETTINGS = StateKey[BaseSettings]("settings")
"""The settings that this server was started with."""
MODULES = StateKey[frozenset[str]]("modules")
"""The optional modules that are on."""
DATABASE = StateKey[Database]("database")
REDIS = StateKey[Redis | None]("redis")
PUBLIC_URL = StateKey[str | None]("public_url")
AUDIT_TRAIL = StateKey[AuditTrail]("audit_trail")
BACKLOG = StateKey[Backlog]("backlog")
