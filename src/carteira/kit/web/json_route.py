"""Routes read their JSON bodies by one strict reader: a name that stands twice must not have two meanings."""

import json
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from carteira.kit.values.exact_json import parse_strict_json


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
    """A route of ours; every router names it as its `route_class`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Hand the request on as one that reads JSON strictly."""
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            return await handler(_Request(request.scope, request.receive))

        return handle
