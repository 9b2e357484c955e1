"""Routes that only read: answered beside the question of whether who asks still stands as was remembered.

FastAPI works out at each request what a route depends on, and keeps stacks for dependencies that end: that costs more
than a small read. What a route that reads depends on is worked out once, here, and is little: who asks, what to read
by, the page that is asked for. A route that reads may be run again: where its person's standing has changed, and where
its connection to PostgreSQL was dead.
"""

import inspect
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from fastapi import Request, Response
from fastapi._compat import ModelField
from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import request_params_to_args
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute, serialize_response
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from carteira.kit.db.engine import Database
from carteira.kit.db.errors import DatabaseDown
from carteira.kit.web import access, transaction

_JSON = "application/json"


@dataclass(frozen=True, slots=True)
class _Step:
    """A dependency, or the route itself: what is called with what."""

    call: Callable[..., Any]
    name: str | None
    steps: tuple["_Step", ...]
    path_params: Sequence[ModelField]
    query_params: Sequence[ModelField]
    header_params: Sequence[ModelField]
    request_name: str | None


class _Solved(dict[Any, Any]):
    """What was worked out for a request so far, by what was called; and what it asked for wrongly."""

    def __init__(self, known: dict[Any, Any]) -> None:
        super().__init__(known)
        self.errors: list[Any] = []


def _everything(dependant: Dependant) -> set[Any]:
    return {dependant.call}.union(*(_everything(inner) for inner in dependant.dependencies))


def only_reads(route: APIRoute) -> bool:
    """Tell whether a route asks for something to read by, and for nothing to write by."""
    if route.methods != {"GET"}:
        return False
    calls = _everything(route.dependant)
    return bool(calls & {transaction.reads, transaction.reading}) and transaction.transaction not in calls


def _needed(dependant: Dependant) -> list[Dependant]:
    return [inner for inner in dependant.dependencies if not isinstance(inner.call, access.Marker)]


def _step_of(dependant: Dependant) -> _Step:
    """Work out a dependency.

    Raises:
        TypeError: it wants what a route that only reads has no need of.
    """
    call = dependant.call
    given = call in _GIVEN
    wants = (
        dependant.body_params,
        dependant.cookie_params,
        dependant.response_param_name,
        dependant.background_tasks_param_name,
        dependant.security_scopes_param_name,
        dependant.http_connection_param_name,
    )
    of_call = call if inspect.isfunction(call) else type(call).__call__
    if call is None or any(wants) or not (given or inspect.iscoroutinefunction(of_call)):
        raise TypeError(f"a route that only reads depends on {call!r}")
    return _Step(
        call,
        dependant.name,
        () if given else tuple(map(_step_of, _needed(dependant))),
        dependant.path_params,
        dependant.query_params,
        dependant.header_params,
        dependant.request_param_name,
    )


_GIVEN = frozenset({access.visitor, transaction.reads, transaction.reading})
"""What is there before the dependencies are solved, each of them with an end of its own."""


async def _solve(step: _Step, request: Request, solved: _Solved) -> dict[str, Any]:
    """Return the arguments of a step."""
    values: dict[str, Any] = {}
    for inner in step.steps:
        if inner.call not in solved:
            arguments = await _solve(inner, request, solved)
            solved[inner.call] = None if solved.errors else await inner.call(**arguments)
        if inner.name is not None:
            values[inner.name] = solved[inner.call]
    for fields, received in (
        (step.path_params, request.path_params),
        (step.query_params, request.query_params if step.query_params else None),
        (step.header_params, request.headers if step.header_params else None),
    ):
        if fields and received is not None:
            found, errors = request_params_to_args(fields, received)
            values.update(found)
            solved.errors += errors
    if step.request_name is not None:
        values[step.request_name] = request
    return values


class ReadingRoute:
    """ASGI: answers a route that only reads."""

    def __init__(
        self,
        route: APIRoute,
        take: Callable[[Request], Request],
        give: Callable[[Request, Response], Response],
    ) -> None:
        """Work out what the route depends on; `take` looks at each request before, `give` at its answer.

        Raises:
            TypeError: a route that only reads has no need of it.
        """
        self._route = route
        self._take = take
        self._give = give
        calls = _everything(route.dependant)
        self._asks_who = access.visitor in calls
        self._by_session = transaction.reading in calls
        self._step = _step_of(route.dependant)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        request = self._take(Request(scope, receive))
        late, again = True, self._by_session  # `Reads` tries again by itself
        while True:
            access.confirms_late(request, late=late)
            try:
                response = await self._answer(request)
            except access.Overtaken:
                late = False
            except DatabaseDown:
                if not again:
                    raise
                again = False
            else:
                break
        await self._give(request, response)(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        async with self._visit(request) as visitor, self._read_by(request.app.state.database) as read_by:
            solved = _Solved({access.visitor: visitor} | read_by)
            arguments = await _solve(self._step, request, solved)
            if solved.errors:
                raise RequestValidationError(solved.errors)
            answer = await self._step.call(**arguments)
            return answer if isinstance(answer, Response) else await self._respond(answer)

    @asynccontextmanager
    async def _visit(self, request: Request) -> AsyncIterator[access.Principal | None]:
        if not self._asks_who:
            yield None
            return
        async with access.visit(request, await access.bearer(request)) as visitor:
            yield visitor

    @asynccontextmanager
    async def _read_by(self, database: Database) -> AsyncIterator[dict[Any, Any]]:
        if not self._by_session:
            yield {transaction.reads: database.reads}
            return
        async with database.reading() as session:
            yield {transaction.reads: database.reads, transaction.reading: session}

    async def _respond(self, answer: object) -> Response:
        route = self._route
        content = await serialize_response(
            field=route.response_field,
            response_content=answer,
            include=route.response_model_include,
            exclude=route.response_model_exclude,
            by_alias=route.response_model_by_alias,
            exclude_unset=route.response_model_exclude_unset,
            exclude_defaults=route.response_model_exclude_defaults,
            exclude_none=route.response_model_exclude_none,
            dump_json=True,
        )
        if route.response_field is None:
            return JSONResponse(content)
        return Response(content, media_type=_JSON)
