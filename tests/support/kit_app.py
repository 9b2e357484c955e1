"""A small server made of the kit's parts, as `app.create_app` puts them together."""

from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID

from fastapi import APIRouter, FastAPI, Request
from starlette.types import ASGIApp

from carteira.kit.db.engine import Database
from carteira.kit.db.session import Tx
from carteira.kit.security.sealing import Sealer
from carteira.kit.web import edge, problems, routing, versions
from carteira.kit.web.access import Overtaken, Principal, SignIn
from carteira.kit.web.approvals import Desk, People
from carteira.kit.web.problems import NotAuthenticated

SIGNED_IN: dict[UUID, SignIn] = {}
"""What the sessions of some people have shown; everybody else has a token without a session."""


OVERTAKEN: set[UUID] = set()
"""People whose cached rights are always out of date."""


async def _overtaken() -> None:
    raise Overtaken


async def authenticate(request: Request, token: str) -> Principal:
    """Read a token of the tests: `<user id>` or `<user id>/claim,claim`."""
    user_id, _, claims = token.partition("/")
    try:
        found = UUID(user_id)
        if found in OVERTAKEN and getattr(request.state, "confirms_late", False):
            request.state.confirm = _overtaken
        return Principal(found, frozenset(claims.split(",")) - {""}, sign_in=SIGNED_IN.get(found))
    except ValueError as error:
        raise NotAuthenticated from error


async def _nobody(_tx: Tx, _user_id: object) -> None:
    return None


def new_sealer() -> Sealer:
    """Return a sealer under a key of its own."""
    with TemporaryDirectory() as folder:
        made = Sealer(Path(folder) / "key", create=True)
        made.keys()
        return made


async def _acting(_tx: Tx, _actor: object, _claim: str) -> bool:
    return True


async def _nameless(_tx: Tx, _user_ids: object) -> dict[UUID, str]:
    return {}


def desk_without_limits() -> Desk:
    """Return a desk without limits, at which nothing waits."""
    people = People(_nobody, _acting, _nameless)
    return Desk(
        [], [], lasts=timedelta(hours=1), people=people, digests=lambda cpf: [cpf.encode()], sealer=new_sealer()
    )


def application(
    *routers: APIRouter,
    database: Database | None = None,
    desk: Desk | None = None,
    max_body_bytes: int = 1_000,
    timeout_seconds: float = 20,
) -> ASGIApp:
    api = FastAPI()
    api.state.authenticate = authenticate
    api.state.database = database
    api.state.desk = desk or desk_without_limits()
    problems.install(api)
    api.add_exception_handler(Exception, edge.last_resort())
    return edge.Edge(
        versions.Versions(routing.add_routes(api, routers)),
        max_body_bytes=max_body_bytes,
        body_limits={"/large": 10_000},
        timeout_seconds=timeout_seconds,
    )
