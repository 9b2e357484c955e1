"""The whole application in this process, over real servers, with a client that signs in whoever a test needs."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID, uuid4

import httpx
from fastapi import FastAPI

from carteira.app import access_key, create_app
from carteira.kit.db.engine import Database
from carteira.kit.security import tokens
from carteira.settings import Settings


@dataclass
class Served:
    """A running application."""

    api: FastAPI
    client: httpx.AsyncClient
    settings: Settings

    @property
    def database(self) -> Database:
        database: Database = self.api.state.database
        return database

    def sign_in(self, *claims: str, user_id: UUID | None = None) -> "Someone":
        """Give a person (a new one, if not named) with claims, and a client that speaks for them."""
        user_id = user_id or uuid4()
        token = tokens.sign(
            access_key(self.settings), subject=str(user_id), ttl_seconds=600, claims={"claims": list(claims)}
        )
        return Someone(user_id, self.client, {"authorization": f"Bearer {token}"})


@dataclass
class Someone:
    """A signed-in person."""

    id: UUID
    client: httpx.AsyncClient
    headers: dict[str, str]

    async def get(self, path: str, **params: str | int) -> httpx.Response:
        return await self.client.get(path, params=params or None, headers=self.headers)

    async def post(self, path: str, json: object = None, *, key: str | None = None) -> httpx.Response:
        headers = self.headers | ({"idempotency-key": key} if key else {})
        return await self.client.post(path, json=json, headers=headers)


@asynccontextmanager
async def serve(settings: Settings) -> AsyncIterator[Served]:
    """Run an application for as long as the block lasts."""
    application = create_app(settings)
    async with (
        application.api.router.lifespan_context(application.api),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(application), base_url="http://carteira.test", timeout=60
        ) as client,
    ):
        yield Served(application.api, client, settings)
