"""Builds whole examples from a schema: each field's own example, or the simplest value that fits."""

from collections.abc import Mapping
from typing import Any

_BY_FORMAT: Mapping[str, Any] = {
    "uuid": "01a21c5a-4e8d-79dc-b85b-34439884ea8f",
    "date": "2026-10-31",
    "date-time": "2026-10-31T15:00:00Z",
    "email": "maria@exemplo.com.br",
    "uri": "https://carteira.exemplo.com.br/",
    "password": "Girassol7amarelo",
}
_BY_TYPE: Mapping[str, Any] = {"integer": 1, "number": 1.0, "boolean": True, "string": "texto", "null": None}


def resolved(document: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the schema that a reference points to."""
    if "$ref" in schema:
        return resolved(document, document["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
    return schema


def example_of(document: Mapping[str, Any], schema: Mapping[str, Any], inside: frozenset[str] = frozenset()) -> Any:  # noqa: ANN401 - any JSON
    """Return a value of a schema: its example, its default, or the simplest value that fits."""
    name = schema.get("$ref", "")
    if name in inside:
        return None
    inside |= {name} - {""}
    schema = resolved(document, schema)
    said = [*schema.get("examples", ()), *schema.get("enum", ())]
    said += [schema[key] for key in ("const", "default") if schema.get(key) is not None]
    if said:
        return said[0]
    if "properties" in schema:
        return {field: example_of(document, inner, inside) for field, inner in schema["properties"].items()}
    for key in ("anyOf", "oneOf", "allOf"):
        if key in schema:
            return example_of(document, schema[key][0], inside)
    if schema.get("type") == "array":
        return [example_of(document, schema.get("items") or (schema.get("prefixItems") or [{}])[0], inside)]
    return _plainest(schema)


def _plainest(schema: Mapping[str, Any]) -> Any:  # noqa: ANN401 - any JSON
    if schema.get("type") == "object":
        return {}
    if schema.get("type") == "integer":
        return max(1, schema.get("minimum", 1))
    return _BY_FORMAT.get(schema.get("format", ""), _BY_TYPE.get(schema.get("type", "")))
