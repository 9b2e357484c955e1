"""The answers to connections that are closed because they sent no valid request."""

from enum import StrEnum
from http import HTTPStatus

import orjson

from carteira.kit.web.problems import MEDIA_TYPE, Problem


class HeadTooLarge(Problem):
    """A request's head is over 64 KiB or 100 lines (431)."""

    status = 431
    code = "head_too_large"
    title = "Cabeçalhos grandes demais"
    detail = "Os cabeçalhos do pedido passam de 64 KiB ou de 100 linhas."


class HeadTimedOut(Problem):
    """A request's head did not arrive in time (408)."""

    status = 408
    code = "head_timed_out"
    title = "Tempo esgotado"
    detail = "Os cabeçalhos do pedido demoraram demais para chegar."


class NotHttp(Problem):
    """The bytes are not HTTP/1.1 (400)."""

    status = 400
    code = "not_http"
    title = "Pedido inválido"
    detail = "O que foi enviado não é um pedido HTTP/1.1."


class TooManyConnections(Problem):
    """The server, or the client's address, has reached its limit of connections (503)."""

    status = 503
    code = "too_many_connections"
    title = "Conexões demais"
    detail = "Há conexões demais abertas. Tente de novo em instantes."

    def __init__(self) -> None:
        super().__init__(headers={"Retry-After": "5"})


class Refused(StrEnum):
    """The reason for closing a connection."""

    HEAD_TOO_LARGE = "head_too_large"
    HEAD_TIMEOUT = "head_timeout"
    SILENT = "silent"
    BODY_STALLED = "body_stalled"
    NOT_READING = "not_reading"
    NOT_HTTP = "not_http"
    TOO_MANY = "too_many"
    TOO_MANY_OF_ADDRESS = "too_many_of_address"


def _answer(problem: Problem) -> bytes:
    body = orjson.dumps(problem.body())
    headers = {"content-type": MEDIA_TYPE, "content-length": str(len(body)), "connection": "close"} | problem.headers
    lines = [f"HTTP/1.1 {problem.status} {HTTPStatus(problem.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


ANSWERS = {
    Refused.HEAD_TOO_LARGE: _answer(HeadTooLarge()),
    Refused.HEAD_TIMEOUT: _answer(HeadTimedOut()),
    Refused.NOT_HTTP: _answer(NotHttp()),
    Refused.TOO_MANY: _answer(TooManyConnections()),
    Refused.TOO_MANY_OF_ADDRESS: _answer(TooManyConnections()),
}
"""The whole answers; a connection that was silent is closed without one."""
