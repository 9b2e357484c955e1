"""Routes read what they are sent strictly: a name that stands twice, in a body or a query, has two meanings or none."""

import json
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute

from carteira.kit.values.exact_json import parse_strict_json
from carteira.kit.web.access import Acts, Looks, Marker, PlainReads


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


class JsonRoute(APIRoute):
    """A route of ours; every router names it as its `route_class`. No parameter of a query is a list."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Hand the request on as one that reads JSON strictly, unless its query says something twice.

        Markers are not resolved with each request.
        """
        whole = self.dependant
        calls = [dependency.call for dependency in whole.dependencies]
        kind = next((call for call in calls if isinstance(call, Acts | Looks | PlainReads)), None)
        self.dependant = replace(
            whole, dependencies=[each for each in whole.dependencies if not isinstance(each.call, Marker)]
        )
        handler = super().get_route_handler()
        self.dependant = whole

        async def handle(request: Request) -> Response:
            if request.scope["query_string"]:
                _insist_on_one_meaning(request)
            request.state.kind = kind
            return await handler(_Request(request.scope, request.receive))

        return handle


def _insist_on_one_meaning(request: Request) -> None:
    names = Counter(name for name, _ in request.query_params.multi_items())
    twice = [name for name, times in names.items() if times > 1]
    if twice:
        message = "Este parâmetro aparece mais de uma vez."
        raise RequestValidationError(
            [{"type": "invalid_repeated", "loc": ("query", name), "msg": message} for name in twice]
        )
