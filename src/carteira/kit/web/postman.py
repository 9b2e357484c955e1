"""A Postman collection, made from the OpenAPI document."""

from collections.abc import Mapping
from typing import Any

import orjson

from carteira.kit.web.examples import example_of, resolved
from carteira.kit.web.openapi import METHODS


def collection(document: Mapping[str, Any], url: str) -> dict[str, Any]:
    """Make a Postman collection (v2.1) of an OpenAPI document: a folder for each tag, a request for each operation.

    `{{url}}` and `{{token}}` are the collection's variables.
    """
    folders: dict[str, list[dict[str, Any]]] = {}
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if method in METHODS:
                tag = (operation.get("tags") or ["carteira"])[0]
                folders.setdefault(tag, []).append(_request(document, path, method, operation))
    return {
        "info": {
            "name": document["info"]["title"],
            "description": document["info"].get("description", ""),
            "schema": "https://schema.getpostman.com/json/collection/v2.1.0/collection.json",
        },
        "auth": {"type": "bearer", "bearer": [{"key": "token", "value": "{{token}}", "type": "string"}]},
        "variable": [{"key": "url", "value": url}, {"key": "token", "value": ""}],
        "item": [{"name": tag, "item": items} for tag, items in sorted(folders.items())],
    }


def _request(document: Mapping[str, Any], path: str, method: str, operation: Mapping[str, Any]) -> dict[str, Any]:
    parameters = operation.get("parameters", [])
    parts = [f":{part[1:-1].partition(':')[0]}" if part[:1] == "{" else part for part in path.strip("/").split("/")]
    query = [_field(parameter) for parameter in parameters if parameter["in"] == "query"]
    request: dict[str, Any] = {
        "method": method.upper(),
        "description": operation.get("description", ""),
        "header": [
            {"key": p["name"], "value": "", "disabled": not p.get("required")}
            for p in parameters
            if p["in"] == "header"
        ],
        "url": {
            "raw": "/".join(["{{url}}", *parts]),
            "host": ["{{url}}"],
            "path": parts,
            "query": query,
            "variable": [{"key": p["name"], "value": ""} for p in parameters if p["in"] == "path"],
        },
    }
    if not operation.get("security"):
        request["auth"] = {"type": "noauth"}
    if "requestBody" in operation:
        request["body"] = _body(document, operation["requestBody"]["content"])
        if request["body"]["mode"] == "raw":
            request["header"].append({"key": "Content-Type", "value": "application/json"})
    return {"name": operation.get("summary") or f"{method.upper()} {path}", "request": request}


def _field(parameter: Mapping[str, Any]) -> dict[str, Any]:
    described = parameter.get("description", "")
    return {"key": parameter["name"], "value": "", "description": described, "disabled": not parameter.get("required")}


def _body(document: Mapping[str, Any], content: Mapping[str, Any]) -> dict[str, Any]:
    """Make a body: a JSON example where the operation has one, else a form's fields."""
    for media_type, mode in (("application/x-www-form-urlencoded", "urlencoded"), ("multipart/form-data", "formdata")):
        if media_type in content and "application/json" not in content:
            fields = resolved(document, content[media_type]["schema"]).get("properties", {})
            return {
                "mode": mode,
                mode: [
                    {"key": name, "type": "file"} if _is_file(schema) else {"key": name, "value": "", "type": "text"}
                    for name, schema in fields.items()
                ],
            }
    media = content.get("application/json", {})
    example = media.get("example", example_of(document, media.get("schema", {})))
    return {
        "mode": "raw",
        "raw": orjson.dumps(example, option=orjson.OPT_INDENT_2).decode(),
        "options": {"raw": {"language": "json"}},
    }


def _is_file(schema: Mapping[str, Any]) -> bool:
    return schema.get("format") == "binary" or "contentMediaType" in schema
