"""A stand-in for the external cashback service, for development and tests: `carteira sandbox cashback`.

It answers `GET /v1/cashback?cpf=` as the real one does, with a credit derived from the CPF, and can be made slow, wrong
or down: `PUT /sandbox/behaviour` with `{"mode": …}` and optionally `seconds`, `times` (how many requests it lasts) and
`cpf` (the CPF concerned). `DELETE /sandbox/behaviour` restores it.
"""

import asyncio
import hashlib
import hmac
import socket
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Literal

import uvicorn
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import Message

from carteira.kit.values.cpf import Cpf, InvalidCpf, parse_cpf

MAX_CREDIT_CENTAVOS = 500_000

Mode = Literal[
    "ok",
    "slow",
    "silent",
    "error",
    "unavailable",
    "refused",
    "html",
    "nothing",
    "text",
    "negative",
    "boolean",
    "fraction",
    "other_status",
    "huge",
]


class Behaviour(BaseModel):
    """The mode of the answers."""

    model_config = ConfigDict(extra="forbid")

    mode: Mode
    seconds: float = Field(5.0, ge=0, le=600)
    times: int | None = Field(None, ge=1)
    cpf: Cpf | None = None


class Credit(BaseModel):
    """A CPF's credit, as the number is written: `1015` or `10.15`."""

    model_config = ConfigDict(extra="forbid")

    cpf: Cpf
    credit: str = Field(pattern=r"^-?[0-9]{1,20}(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?$")


def credit_of(cpf: str) -> int:
    """Return a CPF's default credit in centavos: always the same one."""
    return int.from_bytes(hashlib.sha256(cpf.encode()).digest()[:4]) % MAX_CREDIT_CENTAVOS


def _reais(centavos: int) -> str:
    return f"{centavos // 100}.{centavos % 100:02d}".removesuffix(".00")


def _answer(credit: str, status: int = 200) -> Response:
    return Response(f'{{"statusCode":{status},"body":{{"credit":{credit}}}}}', media_type="application/json")


_WRONG: dict[Mode, Callable[[str], Response]] = {
    "error": lambda _: JSONResponse({"message": "Internal server error"}, 500),
    "unavailable": lambda _: JSONResponse({"message": "Service unavailable"}, 503),
    "refused": lambda _: JSONResponse({"message": "Forbidden"}, 403),
    "html": lambda _: HTMLResponse("<!doctype html><title>Em manutenção</title><h1>Voltamos já</h1>"),
    "nothing": lambda _: Response(b""),
    "text": lambda credit: _answer(f'"{credit}"'),
    "negative": lambda credit: _answer(f"-{credit}"),
    "boolean": lambda _: _answer("true"),
    "fraction": lambda _: _answer("10.155"),
    "other_status": lambda credit: _answer(credit, 400),
    "huge": lambda credit: _answer(credit + " " * 1_000_000),
}


class Sandbox:
    """The stand-in's state and its ASGI application."""

    def __init__(self, token: str) -> None:
        self.token = token
        self.requests: Counter[str] = Counter()
        """Requests for a credit so far, by CPF."""
        self._behaviours: list[Behaviour] = []
        self._left: dict[int, int] = {}
        self._credits: dict[str, str] = {}
        self.app = Starlette(
            routes=[
                Route("/v1/cashback", self._cashback, methods=["GET"]),
                Route("/sandbox/behaviour", self._put_behaviour, methods=["PUT"]),
                Route("/sandbox/behaviour", self._delete_behaviour, methods=["DELETE"]),
                Route("/sandbox/credits", self._put_credit, methods=["PUT"]),
                Route("/sandbox/requests", self._get_requests, methods=["GET"]),
                Route("/health", self._health, methods=["GET"]),
            ]
        )

    def behave(self, behaviour: Behaviour) -> None:
        """Change the behaviour from now on; the latest one for a CPF wins."""
        self._behaviours.insert(0, behaviour)
        if behaviour.times is not None:
            self._left[id(behaviour)] = behaviour.times

    def recover(self) -> None:
        """Restore the behaviour, and drop all counts and settings."""
        self._behaviours.clear()
        self._left.clear()
        self._credits.clear()
        self.requests.clear()

    def set_credit(self, cpf: str, reais: str) -> None:
        """Set a CPF's credit as the number is written."""
        self._credits[cpf] = reais

    def _behaviour(self, cpf: str) -> Behaviour:
        for behaviour in self._behaviours:
            if behaviour.cpf not in {None, cpf}:
                continue
            if behaviour.times is not None:
                self._left[id(behaviour)] -= 1
                if not self._left[id(behaviour)]:
                    self._behaviours.remove(behaviour)
            return behaviour
        return Behaviour(mode="ok")

    async def _cashback(self, request: Request) -> Response:
        if not hmac.compare_digest(request.headers.get("token", "").encode(), self.token.encode()):
            return JSONResponse({"message": "Unauthorized"}, 401)
        try:
            cpf = parse_cpf(request.query_params.get("cpf", ""))
        except InvalidCpf:
            return JSONResponse({"statusCode": 400, "body": {"message": "CPF inválido"}}, 400)
        self.requests[cpf] += 1
        credit = self._credits.get(cpf) or _reais(credit_of(cpf))
        behaviour = self._behaviour(cpf)
        if behaviour.mode == "slow":
            await _wait_or_disconnect(behaviour.seconds, request.receive)
        elif behaviour.mode == "silent":
            await _wait_or_disconnect(None, request.receive)
        make = _WRONG.get(behaviour.mode, _answer)
        return make(credit)

    async def _put_behaviour(self, request: Request) -> Response:
        try:
            self.behave(Behaviour.model_validate_json(await request.body()))
        except ValidationError as error:
            return _invalid(error)
        return Response(status_code=204)

    async def _delete_behaviour(self, _request: Request) -> Response:
        self.recover()
        return Response(status_code=204)

    async def _put_credit(self, request: Request) -> Response:
        try:
            credit = Credit.model_validate_json(await request.body())
        except ValidationError as error:
            return _invalid(error)
        self.set_credit(credit.cpf, credit.credit)
        return Response(status_code=204)

    async def _get_requests(self, _request: Request) -> Response:
        return JSONResponse({"count": self.requests.total()})

    async def _health(self, _request: Request) -> Response:
        return JSONResponse({"status": "ok"})


def _invalid(error: ValidationError) -> Response:
    problems = [{"field": ".".join(map(str, item["loc"])), "message": item["msg"]} for item in error.errors()]
    return JSONResponse({"errors": problems}, 422)


async def _wait_or_disconnect(seconds: float | None, receive: Callable[[], Awaitable[Message]]) -> None:
    """Let a client wait, at the latest until it disconnects."""
    try:
        async with asyncio.timeout(seconds):
            while (await receive())["type"] != "http.disconnect":
                continue
    except TimeoutError:
        return


def sandbox_server(sandbox: Sandbox) -> uvicorn.Server:
    """Make the server of a stand-in; the caller runs it on a listening socket of its own."""
    # CPFs are in the paths, so there is no access log.
    config = uvicorn.Config(
        sandbox.app, access_log=False, log_config=None, lifespan="off", ws="none", timeout_graceful_shutdown=1
    )
    return uvicorn.Server(config)


def serve(port: int, *, token: str, host: str) -> None:
    """Serve a stand-in until SIGINT or SIGTERM.

    Raises:
        OSError: the address is taken, or is not of this machine.
    """
    with socket.create_server((host, port)) as listener:
        sandbox_server(Sandbox(token)).run(sockets=[listener])
