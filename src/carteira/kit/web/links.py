"""Links of the OpenAPI document, from operations that return an id to operations that take it."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from carteira.kit.web.examples import resolved

_JSON = "application/json"
_PENDING = "/pending/{operation_id}"


def add_links(document: dict[str, Any]) -> None:
    """Link each answer of a POST that has ids to the operations that take them.

    Operations below the POST's own path take the id for any method; elsewhere only reads do: `entry_id` at
    `/ledger/entries/{entry_id}`, the `id` of an `Import` at `/benefits/accounts/imports/{import_id}`.
    """
    for path, item in document["paths"].items():
        operation = item.get("post")
        if operation is None:
            continue
        for status, answer in operation["responses"].items():
            fields = _fields(document, answer)
            if status == "202" and "pending" in fields:
                places = [other for other in document["paths"] if other.startswith(_PENDING)]
                found = [link for place in places for link in _to(document, place, "$response.body#/pending/id")]
                answer["links"] = dict(found)
            elif status in {"200", "201", "202"}:
                links = dict(_reads(document, path, _ids(document, answer))) | dict(_links(document, path, fields))
                if links:
                    answer["links"] = links


def _ids(document: Mapping[str, Any], answer: Mapping[str, Any]) -> Mapping[str, str]:
    """Return the ids in an answer by their names in paths, with where they stand: fields, and the answer's own `id`."""
    fields = _fields(document, answer)
    found = {name: f"/{name}" for name in fields if name.endswith("_id")}
    for name, schema in fields.items():
        if "id" in resolved(document, schema).get("properties", {}):
            found[f"{name}_id"] = f"/{name}/id"
    shape = answer.get("content", {}).get(_JSON, {}).get("schema", {}).get("$ref", "").rpartition("/")[2]
    if "id" in fields:
        found[re.sub(r"(?<=[a-z])(?=[A-Z])", "_", shape).lower() + "_id"] = "/id"
    return found


def _reads(document: Mapping[str, Any], path: str, ids: Mapping[str, str]) -> Iterator[tuple[str, Any]]:
    own = set(re.findall(r"\{(\w+)\}", path))
    for other, item in document["paths"].items():
        *before, last = re.findall(r"\{(\w+)\}", other) or [""]
        tail = other.rpartition("}")[2]
        if "get" not in item or last not in ids or not own.issuperset(before):
            continue
        if not tail or ids[last] == "/id":
            yield _link(item["get"], before, last, f"$response.body#{ids[last]}")


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
    for operation in document["paths"].get(path, {}).values():
        yield _link(operation, before, last, value)


def _link(operation: Mapping[str, Any], before: Sequence[str], last: str, value: str) -> tuple[str, Any]:
    return operation["operationId"], {
        "operationId": operation["operationId"],
        "parameters": {name: f"$request.path.{name}" for name in before} | {last: value},
        "description": operation.get("summary", ""),
    }
