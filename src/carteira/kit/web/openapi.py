"""The OpenAPI document, prepared for people and for client generators; one place for all operations.

FastAPI writes what routes take and answer. Removed: names of generic classes, titles in English, descriptions for this
code's readers. Added: the problems of each operation with their codes, whole examples, and links from operations that
return an id to those that take it.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from http import HTTPMethod
from typing import Any

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from carteira.kit.web.examples import example_of
from carteira.kit.web.json_route import JsonRoute
from carteira.kit.web.links import add_links
from carteira.kit.web.problems import MEDIA_TYPE, Declared, Problem

METHODS = {method.value.lower() for method in HTTPMethod}
_SCHEMA = "Problem"
_SCHEMAS = "#/components/schemas/"
_JSON = "application/json"

PROBLEM_SCHEMA: Mapping[str, Any] = {
    "description": "Um erro, como na RFC 9457. `code` não muda; `detail` pode ser mostrado a uma pessoa.",
    "type": "object",
    "required": ["type", "title", "status", "detail", "code", "request_id"],
    "properties": {
        "type": {"type": "string", "examples": ["urn:carteira:problem:not_found"]},
        "title": {"type": "string", "examples": ["Não encontrado"]},
        "status": {"type": "integer", "minimum": 400, "maximum": 599, "examples": [404]},
        "detail": {"type": "string", "examples": ["O que você procura não existe."]},
        "code": {"type": "string", "examples": ["not_found"]},
        "request_id": {"type": "string", "examples": ["01a21db7-4e8d-79dc-b85b-34439884ea8f"]},
        "errors": {
            "type": "array",
            "description": "Em 422, cada campo errado e por quê.",
            "items": {"$ref": f"{_SCHEMAS}FieldError"},
        },
    },
}
_FIELD_ERROR: Mapping[str, Any] = {
    "description": "Um campo errado, e por quê.",
    "type": "object",
    "required": ["field", "message"],
    "properties": {
        "field": {"type": "string", "examples": ["amount"]},
        "message": {"type": "string", "examples": ["Envie um número inteiro."]},
    },
}

PROBLEMS: Mapping[int, str] = {
    400: "Pedido recusado, ou versão da API desconhecida",
    401: "Sem token, ou com um que não vale",
    403: "Sem permissão",
    404: "Não existe, ou não é seu",
    409: "Não combina com o estado atual",
    412: "Mudou desde que foi lido",
    413: "Conteúdo grande demais",
    415: "Tipo de conteúdo não aceito",
    422: "Dados inválidos",
    428: "Leia antes de mudar: falta `If-Match`",
    429: "Muitas tentativas; `Retry-After` diz quando voltar",
    500: "O que está guardado não pôde ser lido",
    503: "Um serviço de que precisamos está fora do ar",
}
"""The statuses of problems, and when they occur, in Portuguese."""
_SUCCESSES: Mapping[str, str] = {
    "200": "Feito",
    "201": "Criado",
    "202": "Aceito; o que falta acontece depois",
    "204": "Feito; nada a mostrar",
    "302": "O navegador é levado a outro endereço",
}
_NOT_MODIFIED = {"description": "Nada mudou desde a resposta com este `ETag`"}
_IF_NONE_MATCH = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "description": "O `ETag` da última resposta: se nada mudou, 304",
    "schema": {"type": "string"},
}
_ETAG = {"ETag": {"description": "O que mudar nesta resposta muda também ele", "schema": {"type": "string"}}}
_VERSION = {"ETag": {"description": "A versão do registro, para `If-Match`", "schema": {"type": "string"}}}


def install(app: FastAPI, declared: Declared) -> None:
    """Make the app write its OpenAPI document for clients; `declared` has the problems of each operation.

    Operations that it does not name have none; a route's own declarations are kept.
    """
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = generate()
            _tidy(document)
            _remove_nulls(document)
            _declare(document, declared)
            _declare_tags(document, app)
            _describe_successes(document)
            _add_examples(document)
            add_links(document)
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign] # FastAPI's documented way of extending the document


def operations(document: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield each operation of a document with its path and method."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if method in METHODS:
                yield path, method, operation


def _tidy(document: dict[str, Any]) -> None:
    """Rename schemas for clients, and remove what is written for this code's readers."""
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):  # FastAPI's own error schema, which no client receives
        schemas.pop(name, None)
    names = {name: _clean(name) for name in schemas}
    twice = {name for name in names.values() if list(names.values()).count(name) > 1}
    names = {name: name if entry in twice else entry for name, entry in names.items()}

    def tidied(node: Any, *, is_schema: bool) -> Any:  # noqa: ANN401 - any JSON
        if isinstance(node, list):
            return [tidied(one, is_schema=is_schema) for one in node]
        if not isinstance(node, dict):
            return node
        entry = {
            key: tidied(value, is_schema=key not in {"properties", "examples", "example", "mapping"})
            if key not in {"examples", "example", "default", "enum", "const"}
            else value
            for key, value in node.items()
            if not (is_schema and key == "title" and isinstance(value, str))
        }
        if isinstance(entry.get("$ref"), str):
            entry["$ref"] = (
                _SCHEMAS + names.get(entry["$ref"].removeprefix(_SCHEMAS), "")
                if entry["$ref"].startswith(_SCHEMAS)
                else entry["$ref"]
            )
        if "mapping" in entry:
            entry["mapping"] = {
                key: _SCHEMAS + names[value.removeprefix(_SCHEMAS)] for key, value in entry["mapping"].items()
            }
        return entry

    title = document["info"]["title"]
    document.update(tidied(document, is_schema=True))
    document["info"]["title"] = title
    tidy = document["components"]["schemas"]
    bodies = [operation.get("requestBody", {}).get("content", {}) for _, _, operation in operations(document)]
    for schema in (*tidy.values(), *(media["schema"] for body in bodies for media in body.values())):
        schema.pop("description", None)  # a docstring for this code's readers
    document["components"]["schemas"] = {names[name]: schema for name, schema in tidy.items()} | {
        _SCHEMA: dict(PROBLEM_SCHEMA),
        "FieldError": dict(_FIELD_ERROR),
    }


def _remove_nulls(document: dict[str, Any]) -> None:
    """Remove null from the types of parameters: an omitted query parameter or header is absent, not null."""
    for _, _, operation in operations(document):
        for parameter in operation.get("parameters", ()):
            schema = parameter["schema"]
            kinds = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
            if len(kinds) == 1:
                parameter["schema"] = kinds[0] | {key: entry for key, entry in schema.items() if key != "anyOf"}
            elif kinds:
                schema["anyOf"] = kinds


def _clean(name: str) -> str:
    """Return a schema's name for clients: `CardPage` for `Page_CardOut_`, `Card` for `CardOut`, `LoginForm`."""
    page = re.fullmatch(r"Page_(\w+?)_", name)
    if page:
        return f"{_clean(page[1])}Page"
    form = re.fullmatch(r"Body_(\w+)", name)
    if form:
        return "".join(part.capitalize() for part in form[1].split("_")) + "Form"
    if name.endswith("Out"):
        return name.removesuffix("Out")
    return f"{name.removesuffix('In')}Input" if name.endswith("In") else name


def _declare(document: dict[str, Any], declared: Declared) -> None:
    """Declare the problems of each operation: a response for each status, an example for each code."""
    known = {(kind.status, kind.code): kind for kind in _problems()}
    examples: dict[str, Any] = {}
    for path, method, operation in operations(document):
        own = {status: answer for status, answer in operation["responses"].items() if status != "422"}
        entry = {}
        for status, codes in declared.get(f"{method.upper()} {path}", {}).items():
            for code in codes:
                examples[code] = _example(known[int(status), code])
            entry[status] = {
                "description": f"{PROBLEMS[int(status)]}: {', '.join(f'`{code}`' for code in codes)}",
                "content": {
                    MEDIA_TYPE: {
                        "schema": {"$ref": f"{_SCHEMAS}{_SCHEMA}"},
                        "examples": {code: {"$ref": f"#/components/examples/{code}"} for code in codes},
                    }
                },
            }
        operation["responses"] = dict(sorted((entry | own).items()))
    document["components"]["examples"] = dict(sorted(examples.items()))


def _problems() -> Iterator[type[Problem]]:
    """Yield every kind of problem; kinds that set their code in each instance come last."""
    kinds = [kind for kind in _every(Problem) if kind.__module__.startswith("carteira.")]
    return iter(sorted(kinds, key=lambda kind: "code" in vars(kind)))


def _every(kind: type[Problem]) -> Iterator[type[Problem]]:
    for inner in kind.__subclasses__():
        yield inner
        yield from _every(inner)


def _example(kind: type[Problem]) -> dict[str, Any]:
    value = {
        "type": f"urn:carteira:problem:{kind.code}",
        "title": kind.title,
        "status": kind.status,
        "detail": kind.detail,
        "code": kind.code,
        "request_id": "01a21db7-4e8d-79dc-b85b-34439884ea8f",
    }
    if kind.code == "invalid_input":
        value["errors"] = [{"field": "amount", "message": "Envie um número inteiro."}]
    return {"summary": kind.title, "value": value}


def _declare_tags(document: dict[str, Any], app: FastAPI) -> None:
    """Declare the `ETag` and 304 of polled routes, and the `ETag` of versioned ones."""
    for context in iter_route_contexts(app.routes):
        route = context.original_route
        if isinstance(route, JsonRoute) and route.include_in_schema and route.is_polled:
            operation = document["paths"][route.path_format]["get"]
            operation.setdefault("parameters", []).append(_IF_NONE_MATCH)
            operation["responses"]["200"]["headers"] = _ETAG
            operation["responses"]["304"] = _NOT_MODIFIED
        if isinstance(route, JsonRoute) and route.include_in_schema and route.is_versioned:
            for method in route.methods or ():
                operation = document["paths"][route.path_format][method.lower()]
                operation["responses"]["200"]["headers"] = _VERSION


def _describe_successes(document: dict[str, Any]) -> None:
    """Describe each success in Portuguese, and remove bodies that are never sent."""
    for _, _, operation in operations(document):
        for status, answer in operation["responses"].items():
            if answer.get("description") == "Successful Response":
                answer["description"] = _SUCCESSES[status]
            if answer.get("content") == {_JSON: {"schema": {}}}:
                del answer["content"]


def _add_examples(document: dict[str, Any]) -> None:
    """Add a whole example to each JSON body, built from its fields' examples."""
    find: Callable[[Mapping[str, Any]], Any] = lambda schema: example_of(document, schema)  # noqa: E731 - the document's own
    for _, _, operation in operations(document):
        answers = [answer for status, answer in operation["responses"].items() if status.startswith("2")]
        for entry in (operation.get("requestBody"), *answers):
            media = (entry or {}).get("content", {}).get(_JSON)
            if media and media.get("schema") and not {"example", "examples"} & set(media):
                media["example"] = find(media["schema"])
