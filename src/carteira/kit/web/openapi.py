"""The OpenAPI document: what every operation may answer besides success, declared in one place for all of them."""

from collections.abc import Collection, Mapping
from http import HTTPMethod
from typing import Any

from fastapi import FastAPI

from carteira.kit.web.problems import MEDIA_TYPE

_SCHEMA = "Problem"
METHODS = {method.value.lower() for method in HTTPMethod}

PROBLEM_SCHEMA: Mapping[str, Any] = {
    "title": _SCHEMA,
    "description": "Um erro, como na RFC 9457. `code` não muda; `detail` pode ser mostrado a uma pessoa.",
    "type": "object",
    "required": ["type", "title", "status", "detail", "code", "request_id"],
    "properties": {
        "type": {"type": "string", "examples": ["urn:carteira:problem:not_found"]},
        "title": {"type": "string", "examples": ["Não encontrado"]},
        "status": {"type": "integer", "minimum": 400, "maximum": 599, "examples": [404]},
        "detail": {"type": "string", "examples": ["O que você procura não existe."]},
        "code": {"type": "string", "examples": ["not_found"]},
        "request_id": {"type": "string"},
        "errors": {
            "type": "array",
            "description": "Em 422, cada campo errado e por quê.",
            "items": {
                "type": "object",
                "required": ["field", "message"],
                "properties": {"field": {"type": "string"}, "message": {"type": "string"}},
            },
        },
    },
}

PROBLEMS: Mapping[int, str] = {
    400: "Pedido recusado, ou versão da API desconhecida",
    401: "Sem token, ou com um que não vale",
    403: "Sem permissão",
    404: "Não existe, ou não é seu",
    409: "Não combina com o estado atual",
    413: "Conteúdo grande demais",
    415: "Tipo de conteúdo não aceito",
    422: "Dados inválidos",
    429: "Muitas tentativas; `Retry-After` diz quando voltar",
    503: "Um serviço de que precisamos está fora do ar",
}
"""The statuses that a problem comes with, and when, in Portuguese."""


def install(app: FastAPI, *, without_problems: Collection[str] = ()) -> None:
    """Have the app's OpenAPI document declare the problems of every operation.

    Operations under a path prefix of `without_problems` answer none; what a route declares itself stands.
    """
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = generate()
            _declare(document, tuple(without_problems))
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign] # FastAPI's documented way of extending the document


def _declare(document: dict[str, Any], without: tuple[str, ...]) -> None:
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    schemas[_SCHEMA] = dict(PROBLEM_SCHEMA)
    for name in ("HTTPValidationError", "ValidationError"):  # FastAPI's own shape, which nobody gets
        schemas.pop(name, None)
    content = {MEDIA_TYPE: {"schema": {"$ref": f"#/components/schemas/{_SCHEMA}"}}}
    components["responses"] = {
        f"{_SCHEMA}{status}": {"description": why, "content": content} for status, why in PROBLEMS.items()
    }
    problems = {str(status): {"$ref": f"#/components/responses/{_SCHEMA}{status}"} for status in PROBLEMS}
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if method not in METHODS:
                continue
            own = {status: answer for status, answer in operation["responses"].items() if status != "422"}
            operation["responses"] = own if path.startswith(without) else problems | own
