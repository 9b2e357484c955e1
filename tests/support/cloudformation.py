"""The stacks of `deploy/aws` as plain data, and the results of their functions for given values."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.support.source import ROOT

STACKS = ROOT / "deploy" / "aws"
ORDER = ("foundation", "data", "service", "watch")
"""The order of deployment: each stack may import what an earlier one exports."""


class Loader(yaml.SafeLoader):  # type: ignore[misc] # yaml has no types
    """Reads CloudFormation's short forms as the long ones."""


def _long(loader: Loader, tag: str, node: yaml.Node) -> dict[str, Any]:
    name = tag if tag in {"Ref", "Condition"} else f"Fn::{tag}"
    if isinstance(node, yaml.MappingNode):
        return {name: loader.construct_mapping(node, deep=True)}
    if isinstance(node, yaml.SequenceNode):
        return {name: loader.construct_sequence(node, deep=True)}
    value = loader.construct_scalar(node)
    return {name: value.split(".", 1) if tag == "GetAtt" else value}


Loader.add_multi_constructor("!", _long)


def read(stack: str | Path) -> dict[str, Any]:
    """Return a template, by the name of its stack or by its file."""
    file = stack if isinstance(stack, Path) else STACKS / f"{stack}.yaml"
    content: dict[str, Any] = yaml.load(file.read_text(), Loader)  # noqa: S506 - a safe loader with tags that make dicts
    return content


def walk(value: object) -> Iterator[tuple[str, Any]]:
    """Yield each key in a template, at any depth, with its value."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key, inner
            yield from walk(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from walk(inner)


def substituted(text: str, values: Mapping[str, str]) -> str:
    """Return a text of `Fn::Sub` with its variables filled in."""
    return re.sub(r"\$\{([^!}]+)\}", lambda found: values[found[1]], text)


def resolved(value: Any, values: Mapping[str, str], maps: Mapping[str, Any] | None = None) -> Any:  # noqa: ANN401, PLR0911 - any YAML, and a function a line
    """Return what a value resolves to; `values` has parameters, attributes, conditions (`"true"`) and exports."""
    if isinstance(value, list):
        return [resolved(one, values, maps) for one in value]
    if not isinstance(value, dict):
        return value
    function = next(iter(value), "")
    if len(value) != 1 or not (function == "Ref" or function.startswith("Fn::")):
        return {key: resolved(one, values, maps) for key, one in value.items()}
    argument = value[function]
    if function == "Ref":
        return values[argument]
    if function == "Fn::ImportValue":
        return values[resolved(argument, values, maps)]
    if function == "Fn::Sub":
        text, own = (argument, {}) if isinstance(argument, str) else argument
        return substituted(text, {**values, **resolved(own, values, maps)})
    if function == "Fn::If":
        name, yes, no = argument
        return resolved(yes if values[name] == "true" else no, values, maps)
    if function == "Fn::FindInMap":
        name, *path = resolved(argument, values, maps)
        return (maps or {})[name][path[0]][path[1]]
    if function == "Fn::GetAtt":
        return values[".".join(argument)]
    raise NotImplementedError(function)
