"""A small server out of the kit's parts, as `app.create_app` puts them together, and a client that speaks to it."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

import httpx
from fastapi import APIRouter, FastAPI, Request
from starlette.types import ASGIApp

from carteira.kit.db.engine import Database
from carteira.kit.web import edge, problems, versions
from carteira.kit.web.access import Principal
from carteira.kit.web.problems import NotAuthenticated


async def authenticate(_request: Request, token: str) -> Principal:
    """Read a token of the tests: `<user id>` or `<user id>/claim,claim`."""
    user_id, _, claims = token.partition("/")
    try:
        return Principal(UUID(user_id), frozenset(claims.split(",")) - {""})
    except ValueError as error:
        raise NotAuthenticated from error


def application(
    *routers: APIRouter,
    database: Database | None = None,
    changes: Sequence[versions.Change] = (),
    max_body_bytes: int = 1_000,
    timeout_seconds: float = 20,
) -> ASGIApp:
    api = FastAPI()
    api.state.authenticate = authenticate
    api.state.database = database
    problems.install(api)
    api.add_exception_handler(Exception, edge.on_exception)
    for router in routers:
        api.include_router(router)
    return edge.Edge(
        versions.Versions(api, changes),
        max_body_bytes=max_body_bytes,
        body_limits={"/large": 10_000},
        timeout_seconds=timeout_seconds,
    )


@asynccontextmanager
async def client_of(app: ASGIApp, token: str | None = None) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://carteira.test", headers=headers
    ) as client:
        yield client
