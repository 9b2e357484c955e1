"""Errors of the token endpoint, in the shape of RFC 6749, section 5.2, plus the members of a problem.

Indentation shows inheritance; numbers are HTTP statuses:

    Problem                                 500
      TokenRefused                          400
        InvalidRequest
        InvalidClient                       401
        InvalidScope
        UnsupportedGrantType
"""

from typing import Any

import orjson
from starlette.responses import Response

from carteira.kit.web.problems import Problem


class TokenRefused(Problem):
    """No token is issued; `error` is the RFC's code, which is the problem's code too."""

    status = 400
    title = "Token recusado"

    def __init__(self, detail: str | None = None) -> None:
        super().__init__(detail, headers={"Cache-Control": "no-store"})

    def body(self) -> dict[str, Any]:
        """Return RFC 6749's `error` with the problem's members; its `error_description` may hold ASCII only."""
        return {"error": self.code} | super().body()

    def response(self) -> Response:
        """Answer in the media type that RFC 6749 names."""
        return Response(orjson.dumps(self.body()), self.status, self.headers, "application/json")


class InvalidRequest(TokenRefused):
    """A field is missing, repeated or invalid, or a client authenticates in two ways (400)."""

    code = "invalid_request"
    detail = "O pedido de token está malformado."


class InvalidClient(TokenRefused):
    """The client is unknown or has ended, or its authentication failed; the answer does not say which (401)."""

    status = 401
    code = "invalid_client"
    detail = "Cliente desconhecido, vencido, fora da sua rede, ou com credencial errada."

    def __init__(self) -> None:
        super().__init__()
        self.headers["WWW-Authenticate"] = 'Basic realm="carteira"'


class InvalidScope(TokenRefused):
    """The client asks for a claim that it does not hold (400)."""

    code = "invalid_scope"
    detail = "O cliente não tem uma das permissões pedidas em scope."


class UnsupportedGrantType(TokenRefused):
    """Another grant than `client_credentials` (400)."""

    code = "unsupported_grant_type"
    detail = "O único grant_type aceito é client_credentials."
