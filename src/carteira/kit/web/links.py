"""Links of the OpenAPI document: from what makes an id to the operations that take it."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from carteira.kit.web.examples import resolved

_JSON = "application/json"
_PENDING = "/pending/{operation_id}"


def add_links(document: dict[str, Any]) -> None:
    """Link each answer of a POST that has an id to the operations under its path that take the id."""
    for path, item in document["paths"].items():
        operation = item.get("post")
        if operation is None:
            continue
        for status, answer in operation["responses"].items():
            if status == "202" and "pending" in _fields(document, answer):
                places = [other for other in document["paths"] if other.startswith(_PENDING)]
                found = [link for place in places for link in _to(document, place, "$response.body#/pending/id")]
                answer["links"] = dict(found)
            elif status in {"200", "201"}:
                links = dict(_links(document, path, _fields(document, answer)))
                if links:
                    answer["links"] = links


def _fields(document: Mapping[str, Any], answer: Mapping[str, Any]) -> Mapping[str, Any]:
    schema = answer.get("content", {}).get(_JSON, {}).get("schema", {})
    fields: Mapping[str, Any] = resolved(document, schema).get("properties", {})
    return fields


def _links(document: Mapping[str, Any], path: str, fields: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for other in document["paths"]:
        place = re.fullmatch(re.escape(path) + r"/\{(\w+)\}(/[a-z-]+)?", other)
        if place is None:
            continue
        field = place[1] if place[1] in fields else "id" if place[1].endswith("_id") and "id" in fields else None
        if field is not None:
            yield from _to(document, other, f"$response.body#/{field}")


def _to(document: Mapping[str, Any], path: str, value: str) -> Iterator[tuple[str, Any]]:
    *before, last = re.findall(r"\{(\w+)\}", path)
    parameters = {name: f"$request.path.{name}" for name in before} | {last: value}
    for operation in document["paths"].get(path, {}).values():
        yield (
            operation["operationId"],
            {
                "operationId": operation["operationId"],
                "parameters": parameters,
                "description": operation.get("summary", ""),
            },
        )
