"""Strict reading of bodies and queries.

A name that appears twice in a body or a query is ambiguous; an unknown query parameter is a mistyped filter, which
would show everything.
"""

import hashlib
import inspect
import json
from collections import Counter
from collections.abc import Callable, Collection, Coroutine, Iterator
from dataclasses import replace
from difflib import get_close_matches
from functools import wraps
from http import HTTPMethod, HTTPStatus
from typing import Any

from fastapi import Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.params import Depends as DependsMarker
from fastapi.responses import HTMLResponse
from fastapi.routing import APIRoute
from pydantic import BaseModel

from carteira.kit.ops import tracing
from carteira.kit.values.exact_json import parse_strict_json
from carteira.kit.web import lean_route
from carteira.kit.web.access import Acts, Looks, Marker, PlainReads
from carteira.kit.web.preconditions import etag

_MOST_REPORTED = 20
"""The most unknown names that are reported.

A request line has room for twenty thousand, and each is compared with the known ones.
"""


class _Request(Request):
    async def json(self) -> Any:  # noqa: ANN401 - any JSON value
        """Read the body.

        Raises:
            JSONDecodeError: `parse_strict_json` refuses it; FastAPI makes a 422 of this.
        """
        try:
            return parse_strict_json(await self.body())
        except ValueError as error:
            raise json.JSONDecodeError(str(error), "", 0) from error


class AnyQuery(Marker):
    """Lets a route's query have names that it does not know; the reason is for the reader."""

    def __init__(self, why: str) -> None:
        self.why = why


def any_query(why: str) -> DependsMarker:
    """Declare that third parties link to a route and may add names of their own to its query."""
    return DependsMarker(AnyQuery(why))


class Polled(Marker):
    """Adds the digest of a route's answer to it (`ETag`); a client that has this answer gets 304 without a body."""


def polled() -> DependsMarker:
    """Declare that clients poll a read, mostly without any change."""
    return DependsMarker(Polled())


class Versioned(Marker):
    """Adds the version of a route's record to its answer (`ETag`), which a change names in `If-Match`."""


def versioned() -> DependsMarker:
    """Declare that a route's answer carries the version of its record, by `send_version`."""
    return DependsMarker(Versioned())


def send_version(request: Request, version: str) -> None:
    """Add the version of its record to the answer."""
    request.state.version = version


class JsonRoute(APIRoute):
    """The product's route class; every router names it. No parameter of a query is a list.

    Pages that links in messages open take any query: mail programs and providers add names of their own. Routes that
    only read, or move money in one or two trips, are answered by `kit.web.lean_route`.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:  # noqa: ANN401 - as FastAPI's
        """Make a route.

        Raises:
            TypeError: a lean route depends on something that `lean_route` does not support.
        """
        # An operation is called as its function, or by `operation_id` where functions of two modules have one name.
        super().__init__(path, endpoint, **options | {"generate_unique_id_function": lambda route: route.name})
        if lean_route.is_lean(self):
            self.app = lean_route.LeanRoute(self, self._read_strictly, self._answer)

    @property
    def is_polled(self) -> bool:
        """Whether the route's answers carry their digest."""
        return any(isinstance(dependency.call, Polled) for dependency in self.dependant.dependencies)

    @property
    def is_versioned(self) -> bool:
        """Whether the route's answers carry their record's version."""
        return any(isinstance(dependency.call, Versioned) for dependency in self.dependant.dependencies)

    def known_queries(self) -> frozenset[str] | None:
        """Return the names that the route's query may have; None: any."""
        if any(isinstance(dependency.call, AnyQuery) for dependency in self.dependant.dependencies):
            return None
        if self.methods == {HTTPMethod.GET} and self.response_class is HTMLResponse:
            return None
        return frozenset(_query_names(self.dependant))

    def _read_strictly(self, request: Request) -> Request:
        """Return the request as one that reads JSON strictly; refuse a query or headers with two meanings."""
        if request.scope["query_string"]:
            _require_one_meaning(request, self._known)
        _require_one_value(request)
        request.state.kind = self._kind
        return _Request(request.scope, request.receive)

    def _answer(self, request: Request, response: Response) -> Response:
        """Return the answer with its record's version, or 304 for a polling client that has it already."""
        if self._is_versioned and (version := getattr(request.state, "version", None)) is not None:
            response.headers["ETag"] = etag(version)
        return _unless_unchanged(request, response) if self._is_polled else response

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler. Markers are not resolved with each request."""
        self._known = self.known_queries()
        self._is_polled = self.is_polled
        self._is_versioned = self.is_versioned
        whole = self.dependant
        calls = [dependency.call for dependency in whole.dependencies]
        self._kind = next((call for call in calls if isinstance(call, Acts | Looks | PlainReads)), None)
        self.dependant = replace(
            whole,
            call=_traced(whole.call),
            dependencies=[each for each in whole.dependencies if not isinstance(each.call, Marker)],
        )
        handler = super().get_route_handler()
        self.dependant = whole

        async def handle(request: Request) -> Response:
            return self._answer(request, await handler(self._read_strictly(request)))

        return handle


def _traced(call: Callable[..., Any] | None) -> Callable[..., Any] | None:
    """Return a route's function with a span around it."""
    if not inspect.iscoroutinefunction(call):
        return call
    name = tracing.name_of(call)

    @wraps(call)
    async def verb(**arguments: Any) -> Any:  # noqa: ANN401 - a route's result has any type
        with tracing.span(name):
            return await call(**arguments)

    return verb


def _unless_unchanged(request: Request, response: Response) -> Response:
    """Return the answer with its digest, or 304 if the client has it already."""
    if response.status_code != HTTPStatus.OK:
        return response
    tag = f'"{hashlib.sha256(response.body).hexdigest()[:32]}"'
    known = [one.strip().removeprefix("W/") for one in request.headers.get("if-none-match", "").split(",")]
    if tag in known or known == ["*"]:
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers={"ETag": tag})
    response.headers["ETag"] = tag
    return response


def _query_names(dependant: Dependant) -> Iterator[str]:
    """Yield the names of the query's parameters at any depth; each field of a model is one."""
    for parameter in dependant.query_params:
        kind = parameter.field_info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from (field.alias or name for name, field in kind.model_fields.items())
        else:
            yield parameter.alias
    for inner in dependant.dependencies:
        yield from _query_names(inner)


def _require_one_meaning(request: Request, known: frozenset[str] | None) -> None:
    names = Counter(name for name, _ in request.query_params.multi_items())
    repeated = [name for name, times in names.items() if times > 1][:_MOST_REPORTED]
    unknown = [] if known is None else [name for name in names if name not in known][:_MOST_REPORTED]
    errors = [
        {"type": "invalid_repeated", "loc": ("query", name), "msg": "Este parâmetro aparece mais de uma vez."}
        for name in repeated
    ]
    errors += [
        {"type": "invalid_unknown", "loc": ("query", name), "msg": _unknown(name, known or ())} for name in unknown
    ]
    if errors:
        raise RequestValidationError(errors)


_OF_ONE_VALUE = frozenset({b"authorization", b"idempotency-key"})
"""Headers that say who asks and which request this is: proxies differ in which of two values they keep."""


def _require_one_value(request: Request) -> None:
    seen: dict[bytes, bytes] = {}
    for name, value in request.scope["headers"]:
        if name in _OF_ONE_VALUE and seen.setdefault(name, value) != value:
            problem = {"type": "invalid_repeated", "msg": "Este cabeçalho aparece com dois valores."}
            raise RequestValidationError([{**problem, "loc": ("header", name.decode())}])


def _unknown(name: str, known: Collection[str]) -> str:
    meant = get_close_matches(name, known, n=1)
    if meant:
        return f"Parâmetro desconhecido. Você quis dizer `{meant[0]}`?"
    if not known:
        return "Parâmetro desconhecido: este endereço não tem nenhum."
    return f"Parâmetro desconhecido. Os que existem: {', '.join(f'`{one}`' for one in sorted(known))}."
