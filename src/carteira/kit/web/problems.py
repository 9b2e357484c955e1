"""Problems: every error that a client sees, as RFC 9457 `application/problem+json`, in Portuguese.

Storage, outbound calls and security know no HTTP: they raise facts, and one table here (`_PROBLEM_OF`) maps each to a
problem. A `Refusal` commits its idempotency record; every other problem, and every fact, rolls back.

    Problem                      500
      Refusal                    400
      InvalidInput               422
      NotAuthenticated           401
      Forbidden                  403
        PersonRequired
        OwnOperationProblem
      NotFound                   404
      MethodNotAllowed           405
      Conflict                   409
        OperationInProgressProblem
        DailyCeilingProblem
        OperationChangedProblem
      PayloadTooLarge            413
      UnsupportedMediaType       415
      TooManyRequests            429
        LooksUsedUp
      RequestTimedOut            503
      DependencyDown             503
        BusyProblem
        DatabaseDownProblem
        AuditDownProblem

Each module's own are in its `errors.py`, below one of these; docs/reference/errors.md lists all with their codes.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from http import HTTPStatus
from typing import Any, ClassVar

import orjson
import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from prometheus_client import Counter
from starlette.exceptions import HTTPException
from starlette.responses import Response

from carteira.kit.db.errors import DatabaseDown, OperationInProgress, TextNotStorable, is_connection_lost
from carteira.kit.ops.turns import Busy
from carteira.kit.outbound.http import ServiceDown
from carteira.kit.security.approvals import DailyCeilingReached, OperationChanged, OwnOperation
from carteira.kit.security.audit import TooManyLooks
from carteira.kit.security.audit_trail import AuditDown
from carteira.kit.security.rate_limits import LimitReached
from carteira.kit.security.tokens import InvalidToken
from carteira.kit.values.money import format_brl
from carteira.kit.web.validation import MOST_REPORTED, describe

MEDIA_TYPE = "application/problem+json"
_TYPE_PREFIX = "urn:carteira:problem:"

undeclared = Counter(
    "carteira_problems_undeclared",
    "Problems in answers that their operation does not declare in /openapi.json",
    ["operation", "code"],
)
log = structlog.get_logger(__name__)


class Problem(Exception):
    """An error as a client sees it. Subclasses fix `status`, `code` and `title`; codes never change."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    title: ClassVar[str] = "Erro interno"
    detail: str = "Algo deu errado. Tente de novo em instantes."

    def __init__(
        self,
        detail: str | None = None,
        *,
        errors: Sequence[Mapping[str, str]] = (),
        headers: Mapping[str, str] | None = None,
        **extra: Any,  # noqa: ANN401 - extension members of RFC 9457 are any JSON
    ) -> None:
        if detail is not None:
            self.detail = detail
        self.errors = list(errors)
        self.headers = dict(headers or {})
        self.extra = extra
        super().__init__(self.detail)

    def body(self) -> dict[str, Any]:
        """Return the problem's members as JSON-ready values."""
        members: dict[str, Any] = {
            "type": _TYPE_PREFIX + self.code,
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            "request_id": structlog.contextvars.get_contextvars().get("request_id", ""),
        }
        if self.errors:
            members["errors"] = self.errors
        return members | self.extra

    def response(self) -> Response:
        """Return the HTTP answer."""
        return Response(orjson.dumps(self.body()), self.status, self.headers, MEDIA_TYPE)


class Refusal(Problem):
    """A business rule refused the request. It commits with its idempotency record, and a repetition gets it again."""

    status = 400
    code = "refused"
    title = "Operação recusada"


class InvalidInput(Problem):
    """The request's content breaks a rule (422)."""

    status = 422
    code = "invalid_input"
    title = "Dados inválidos"
    detail = "Confira os campos indicados e tente de novo."


class NotAuthenticated(Problem):
    """No token, or an invalid one (401)."""

    status = 401
    code = "not_authenticated"
    title = "Não autenticado"
    detail = "Entre na sua conta para continuar."

    def __init__(self, detail: str | None = None) -> None:
        super().__init__(detail, headers={"WWW-Authenticate": 'Bearer realm="carteira"'})


class Forbidden(Problem):
    """The caller is known and lacks the right (403)."""

    status = 403
    code = "forbidden"
    title = "Acesso negado"
    detail = "Você não tem permissão para fazer isso."


class PersonRequired(Forbidden):
    """The route is for people, and a client (a machine) asked."""

    code = "person_required"
    detail = "Esta operação é de uma pessoa: um cliente (máquina) não pode fazê-la."


class NotFound(Problem):
    """There is no such thing, or its existence is private (404)."""

    status = 404
    code = "not_found"
    title = "Não encontrado"
    detail = "O que você procura não existe."


class MethodNotAllowed(Problem):
    """The path exists, the method on it does not (405)."""

    status = 405
    code = "method_not_allowed"
    title = "Método não permitido"
    detail = "Esta operação não existe neste endereço."


class Conflict(Problem):
    """The request conflicts with the present state (409)."""

    status = 409
    code = "conflict"
    title = "Conflito"
    detail = "O pedido não combina com o estado atual."


class PayloadTooLarge(Problem):
    """The body is larger than the route accepts (413)."""

    status = 413
    code = "payload_too_large"
    title = "Conteúdo grande demais"
    detail = "O conteúdo enviado passa do tamanho permitido."


class UnsupportedMediaType(Problem):
    """The body is not of a kind that the route accepts (415)."""

    status = 415
    code = "unsupported_media_type"
    title = "Tipo de conteúdo não aceito"
    detail = "Envie o conteúdo em um dos formatos aceitos."


class TooManyRequests(Problem):
    """A limit was reached (429); `Retry-After` says for how many seconds."""

    status = 429
    code = "too_many_requests"
    title = "Muitas tentativas"
    detail = "Muitas tentativas em pouco tempo. Espere um pouco e tente de novo."

    def __init__(self, retry_after_seconds: int, detail: str | None = None) -> None:
        super().__init__(detail, headers={"Retry-After": str(max(1, retry_after_seconds))})


class LooksUsedUp(TooManyRequests):
    """The operator has reached the hourly limit of people they may look at (429)."""

    code = "looks_used_up"
    title = "Consultas demais"
    detail = "Você já consultou dados de muitas pessoas nesta hora. Espere um pouco e tente de novo."


class RequestTimedOut(Problem):
    """The request's body did not arrive, or its work did not end, in time."""

    status = 503
    code = "request_timed_out"
    title = "Tempo esgotado"
    detail = "O pedido demorou demais. Tente de novo."


class DependencyDown(Problem):
    """A dependency is down (503)."""

    status = 503
    code = "dependency_down"
    title = "Serviço indisponível"
    detail = "Um serviço de que precisamos está fora do ar. Tente de novo em instantes."

    def __init__(self, detail: str | None = None, *, retry_after_seconds: int = 5) -> None:
        super().__init__(detail, headers={"Retry-After": str(retry_after_seconds)})


class BusyProblem(DependencyDown):
    """More requests are waiting than can be served soon (503); `Retry-After` says when to retry."""

    code = "busy"
    title = "Serviço ocupado"
    detail = "Há pedidos demais agora. Tente de novo em instantes."


class DatabaseDownProblem(DependencyDown):
    """PostgreSQL does not answer (503)."""

    code = "database_down"
    detail = "O banco de dados está fora do ar. Tente de novo em instantes."


class AuditDownProblem(DependencyDown):
    """The look could not be recorded, so nothing is shown (503)."""

    code = "audit_down"
    detail = "O registro de acessos está fora do ar. Tente de novo em instantes."


class OperationInProgressProblem(Conflict):
    """Another request has held the rows that this one needs for too long (409)."""

    code = "operation_in_progress"
    detail = "Outra operação sobre o mesmo recurso está em andamento. Tente de novo em instantes."


class DailyCeilingProblem(Conflict):
    """The operator's daily ceiling, with proposals counted, is reached; `left` centavos are left of it (409)."""

    code = "daily_ceiling_reached"
    title = "Teto diário atingido"
    detail = "Esta operação passa do teto diário de quem a pediu."


class OwnOperationProblem(Forbidden):
    """The caller made the operation or gains by it, and so may not approve it (403)."""

    code = "own_operation"
    detail = "Quem pediu ou registrou a operação, ou ganha com ela, não a aprova."


class OperationChangedProblem(Conflict):
    """The operation would now move more than was proposed (409)."""

    code = "operation_changed"
    detail = "O valor da operação aumentou desde que ela foi pedida."


_PROBLEM_OF: dict[type[Exception], Callable[[Any], Problem]] = {
    DatabaseDown: lambda _: DatabaseDownProblem(),
    OperationInProgress: lambda _: OperationInProgressProblem(),
    TextNotStorable: lambda _: InvalidInput("Um texto enviado tem um caractere que não pode ser guardado."),
    Busy: lambda fact: BusyProblem(retry_after_seconds=fact.retry_after_seconds),
    ServiceDown: lambda _: DependencyDown(),
    AuditDown: lambda _: AuditDownProblem(),
    InvalidToken: lambda _: NotAuthenticated("Sua sessão não é válida ou expirou. Entre de novo."),
    LimitReached: lambda fact: TooManyRequests(fact.retry_after_seconds),
    TooManyLooks: lambda fact: LooksUsedUp(fact.retry_after_seconds),
    DailyCeilingReached: lambda fact: DailyCeilingProblem(
        f"Esta operação passa do teto diário: restam {format_brl(fact.left)} hoje.", left=fact.left
    ),
    OwnOperation: lambda _: OwnOperationProblem(),
    OperationChanged: lambda _: OperationChangedProblem(),
}
"""The problem of each fact; a subclass (`CommitUnknown`) takes its base's."""

EXPECTED: tuple[type[Exception], ...] = (Problem, *_PROBLEM_OF)
"""The exceptions that `problem_of` accepts: problems themselves, and the facts that it maps to one."""


def problem_of(error: Exception) -> Problem:
    """Return the problem of an error; the plain 500 for an unforeseen one."""
    if isinstance(error, Problem):
        return error
    for kind in type(error).__mro__:
        if kind in _PROBLEM_OF:
            return _PROBLEM_OF[kind](error)
    return DatabaseDownProblem() if is_connection_lost(error) else Problem()


class _OtherHttpProblem(Problem):
    """An HTTP error of Starlette or FastAPI, as a problem."""

    code = "http_error"
    title = "Pedido inválido"

    def __init__(self, error: HTTPException) -> None:
        super().__init__("O pedido não pôde ser atendido.", headers=error.headers)
        self.http_status = error.status_code

    def body(self) -> dict[str, Any]:
        return super().body() | {"status": self.http_status, "title": HTTPStatus(self.http_status).phrase}

    def response(self) -> Response:
        return Response(orjson.dumps(self.body()), self.http_status, self.headers, MEDIA_TYPE)


_BY_STATUS: dict[int, type[Problem]] = {
    404: NotFound,
    405: MethodNotAllowed,
    413: PayloadTooLarge,
    415: UnsupportedMediaType,
}


def from_http_exception(error: HTTPException) -> Problem:
    """Turn the framework's own HTTP errors (404 of an unknown path, 405, unreadable body …) into problems."""
    if error.status_code == HTTPStatus.BAD_REQUEST:
        return InvalidInput("O corpo do pedido não pôde ser lido.")
    kind = _BY_STATUS.get(error.status_code)
    return kind(headers=error.headers) if kind else _OtherHttpProblem(error)


def from_validation_error(error: RequestValidationError) -> InvalidInput:
    """Return the invalid fields and their rules in Portuguese; the rejected values are never repeated."""
    return InvalidInput(errors=[describe(item) for item in error.errors()[:MOST_REPORTED]])


Declared = Mapping[str, Mapping[str, Collection[str]]]
"""The codes of the problems that each operation (`POST /path`) may answer, by their status."""

Answer = Callable[[Request, Problem], Response]
"""Makes a problem's answer: JSON, or a page for a person's browser."""


def name_in_log(problem: Problem) -> None:
    """Add a problem's code to the log line of its request."""
    structlog.contextvars.bind_contextvars(problem=problem.code)


def _compare(request: Request, problem: Problem, declared: Declared) -> None:
    """Count a problem that its operation does not declare."""
    operation = f"{request.method} {getattr(request.scope.get('route'), 'path_format', '')}"
    if operation in declared and problem.code not in declared[operation].get(str(problem.status), ()):
        undeclared.labels(operation, problem.code).inc()
        log.error("undeclared problem answered", operation=operation, problem=problem.code, status=problem.status)


def as_json(_request: Request, problem: Problem) -> Response:
    """Return a problem as `application/problem+json`."""
    name_in_log(problem)
    return problem.response()


def install(app: FastAPI, answer: Answer = as_json, declared: Declared | None = None) -> None:
    """Answer every error with a problem, never with a stack trace.

    Problems that a `declared` operation does not name are counted.
    """
    contract = declared or {}

    def respond(request: Request, problem: Problem) -> Response:
        _compare(request, problem, contract)
        return answer(request, problem)

    async def on_expected(request: Request, error: Exception) -> Response:
        return respond(request, problem_of(error))

    async def on_http_exception(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return respond(request, from_http_exception(error))

    async def on_validation_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return respond(request, from_validation_error(error))

    for kind in EXPECTED:
        app.add_exception_handler(kind, on_expected)
    app.add_exception_handler(HTTPException, on_http_exception)
    app.add_exception_handler(RequestValidationError, on_validation_error)
