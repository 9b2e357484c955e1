"""Routes whose dependencies are resolved once: those that only read, and those that move money in one or two trips.

FastAPI resolves a route's dependencies at each request and keeps stacks for dependencies that end; that costs more than
a small read, and half as much as a debit. Such routes depend on little: the caller, a way to read or to move money, the
requested page, a small body.

A route that only reads runs while the caller's cached rights are checked, and may run again: if these rights have
changed, or if its connection to PostgreSQL was dead. So does one that confirms the rights itself before it writes.
"""

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from email.message import Message
from http import HTTPStatus
from typing import Any

from fastapi import HTTPException, Request, Response
from fastapi._compat import ModelField, Undefined, field_annotation_is_sequence
from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import (
    _get_param_aliases,
    _get_param_model,
    request_body_to_args,
    request_params_to_args,
)
from fastapi.exceptions import RequestValidationError
from fastapi.params import Depends as DependsMarker
from fastapi.params import Param
from fastapi.routing import APIRoute, serialize_response
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from carteira.kit.db.errors import DatabaseDown
from carteira.kit.ops import tracing
from carteira.kit.web import access, transaction
from carteira.kit.web.state import DATABASE

_JSON = "application/json"


class _Params:
    """The parameters of a function that a path, a query or headers hold.

    FastAPI determines the kind of each field at each request; here it is known. A field of one value is validated at
    once, or has its default; lists, models of parameters and missing required values are left to FastAPI.
    """

    def __init__(self, fields: Sequence[ModelField]) -> None:
        self._fields = [(field, _key(field), not _has_default(field)) for field in fields]

    def __bool__(self) -> bool:
        return bool(self._fields)

    def read(self, received: Mapping[str, Any]) -> tuple[dict[str, Any], list[Any]]:
        """Return the values by the parameters' names, and the validation errors."""
        values: dict[str, Any] = {}
        errors: list[Any] = []
        for field, key, needed in self._fields:
            given = received.get(key[1]) if key else None
            if key is None or (given is None and needed):
                found, wrong = request_params_to_args([field], received)
                values |= found
            elif given is None:
                values[field.name], wrong = deepcopy(field.default), None
            else:
                values[field.name], wrong = field.validate(given, values, loc=key)
            errors += wrong or ()
        return values, errors


def _has_default(field: ModelField) -> bool:
    """Return whether a field has a value where it is missing, which needs no validation."""
    return not (field.field_info.is_required() or field.field_info.validate_default)


def _key(field: ModelField) -> tuple[str, str] | None:
    """Return the place of a field of one value, as errors have it; None: it takes several values or names."""
    info, aliases = field.field_info, _get_param_aliases(field)
    if len(aliases) > 1 or field_annotation_is_sequence(info.annotation) or _get_param_model(field):
        return None
    return (info.in_.value, aliases[0][1]) if isinstance(info, Param) else None


@dataclass(frozen=True, slots=True)
class _Step:
    """A dependency, or the route itself: the function and its parameters."""

    call: Callable[..., Any]
    name: str | None
    steps: tuple["_Step", ...]
    path_params: _Params
    query_params: _Params
    header_params: _Params
    request_name: str | None


class _Solved(dict[Any, Any]):
    """A request's resolved dependencies so far, by function; and the validation errors."""

    def __init__(self, known: dict[Any, Any]) -> None:
        super().__init__(known)
        self.errors: list[Any] = []


def _everything(dependant: Dependant) -> set[Any]:
    return {dependant.call}.union(*(_everything(inner) for inner in dependant.dependencies))


class Lean(access.Marker):
    """Marks a route that writes to be answered here; the reason is for the reader."""

    def __init__(self, why: str, *, confirms_late: bool) -> None:
        self.why = why
        self.confirms_late = confirms_late


def lean(why: str, *, confirms_late: bool = False) -> DependsMarker:
    """Declare that a busy route depends on little, with the reason.

    A route that `confirms_late` awaits `access.confirm` before it writes anything, and may run again after that.
    """
    return DependsMarker(Lean(why, confirms_late=confirms_late))


def _marks(route: APIRoute) -> list[Lean]:
    return [inner.call for inner in route.dependant.dependencies if isinstance(inner.call, Lean)]


def is_lean(route: APIRoute) -> bool:
    """Return whether a route is marked lean, or only reads."""
    return only_reads(route) or bool(_marks(route))


def only_reads(route: APIRoute) -> bool:
    """Return whether a route depends on a way to read, and on none to write."""
    if route.methods != {"GET"}:
        return False
    calls = _everything(route.dependant)
    return bool(calls & {transaction.reads, transaction.reading}) and transaction.transaction not in calls


def _needed(dependant: Dependant) -> list[Dependant]:
    return [inner for inner in dependant.dependencies if not isinstance(inner.call, access.Marker)]


def _step_of(dependant: Dependant, *, is_route: bool = False) -> _Step:
    """Resolve the parameters of a dependency, or of the route itself, which alone may take a body.

    Raises:
        TypeError: it depends on something that lean routes do not support.
    """
    call = dependant.call
    given = call in _GIVEN
    wants = (
        dependant.body_params and not is_route,
        dependant.cookie_params,
        dependant.response_param_name,
        dependant.background_tasks_param_name,
        dependant.security_scopes_param_name,
        dependant.http_connection_param_name,
    )
    of_call = call if inspect.isfunction(call) else type(call).__call__
    if call is None or any(wants) or not (given or inspect.iscoroutinefunction(of_call)):
        raise TypeError(f"a lean route depends on {call!r}")
    return _Step(
        call,
        dependant.name,
        () if given else tuple(map(_step_of, _needed(dependant))),
        _Params(dependant.path_params),
        _Params(dependant.query_params),
        _Params(dependant.header_params),
        dependant.request_param_name,
    )


_GIVEN = frozenset({access.visitor, transaction.reads, transaction.reading})
"""Dependencies that are opened before the others are resolved, and closed after the route."""


async def _solve(step: _Step, request: Request, solved: _Solved) -> dict[str, Any]:
    """Return the arguments of a step."""
    values: dict[str, Any] = {}
    for inner in step.steps:
        if inner.call not in solved:
            arguments = await _solve(inner, request, solved)
            solved[inner.call] = None if solved.errors else await inner.call(**arguments)
        if inner.name is not None:
            values[inner.name] = solved[inner.call]
    for params, received in (
        (step.path_params, request.path_params),
        (step.query_params, request.query_params if step.query_params else None),
        (step.header_params, request.headers if step.header_params else None),
    ):
        if params and received is not None:
            found, errors = params.read(received)
            values.update(found)
            solved.errors += errors
    if step.request_name is not None:
        values[step.request_name] = request
    return values


async def _body_of(request: Request) -> object:
    """Read a body as FastAPI does: JSON where the request says so, otherwise bytes.

    Raises:
        HTTPException: the client left before its end.
        RequestValidationError: it is no JSON.
    """
    try:
        body = await request.body()
    except ClientDisconnect as gone:
        raise HTTPException(HTTPStatus.BAD_REQUEST) from gone
    if not body:
        return Undefined
    if not _is_json(request.headers.get("content-type", "")):
        return body
    try:
        return await request.json()
    except json.JSONDecodeError as error:
        wrong = {"type": "json_invalid", "loc": ("body", error.pos), "msg": error.msg, "input": {}}
        raise RequestValidationError([{**wrong, "ctx": {"error": error.msg}}], body=error.doc) from error


def _is_json(content_type: str) -> bool:
    if content_type == _JSON:
        return True
    message = Message()
    message["content-type"] = content_type or "text/plain"
    subtype = message.get_content_subtype()
    return message.get_content_maintype() == "application" and (subtype == "json" or subtype.endswith("+json"))


class LeanRoute:
    """ASGI: answers a lean route."""

    def __init__(
        self,
        route: APIRoute,
        take: Callable[[Request], Request],
        give: Callable[[Request, Response], Response],
    ) -> None:
        """Resolve the route's dependencies; `take` handles each request first, and `give` its answer last.

        Raises:
            TypeError: it depends on something that lean routes do not support.
        """
        self._route = route
        self._take = take
        self._give = give
        calls = _everything(route.dependant)
        self._asks_who = access.visitor in calls
        self._by_session = transaction.reading in calls
        self._confirms_late = only_reads(route) or any(mark.confirms_late for mark in _marks(route))
        self._body = route.dependant.body_params
        self._step = _step_of(route.dependant, is_route=True)
        self._name = tracing.name_of(self._step.call)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        response = await self.respond(scope, receive)
        await response(scope, receive, send)

    async def respond(self, scope: Scope, receive: Receive) -> Response:
        """Return the answer to a request."""
        request = self._take(Request(scope, receive))
        body = await _body_of(request) if self._body else None
        response = await (self._answer_late if self._confirms_late else self._answer)(request, body)
        return self._give(request, response)

    async def _answer_late(self, request: Request, body: object) -> Response:
        late, again = True, self._by_session  # `Reads` retries by itself
        while True:
            access.confirms_late(request, late=late)
            try:
                return await self._answer(request, body)
            except access.Overtaken:
                late = False
            except DatabaseDown:
                if not again:
                    raise
                again = False

    async def _answer(self, request: Request, body: object) -> Response:
        if not self._asks_who:
            return await self._answer_to(None, request, body)
        async with access.visit(request, await access.bearer(request)) as visitor:
            return await self._answer_to(visitor, request, body)

    async def _answer_to(self, visitor: access.Principal | None, request: Request, body: object) -> Response:
        database = DATABASE.of(request.app)
        solved = _Solved({access.visitor: visitor, transaction.reads: database.reads})
        if not self._by_session:
            return await self._call(solved, request, body)
        async with database.reading() as solved[transaction.reading]:
            return await self._call(solved, request, body)

    async def _call(self, solved: _Solved, request: Request, body: object) -> Response:
        arguments = await _solve(self._step, request, solved)
        if self._body:
            embedded = self._route._embed_body_fields  # noqa: SLF001 - FastAPI passes it to its own solver
            values, errors = await request_body_to_args(self._body, body, embedded)
            arguments.update(values)
            solved.errors += errors
        if solved.errors:
            raise RequestValidationError(solved.errors)
        with tracing.span(self._name):
            answer = await self._step.call(**arguments)
        return answer if isinstance(answer, Response) else await self._respond(answer)

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
