"""The registry of modules is complete: contracts, routes, demo data, events and class names agree with it."""

import ast
import importlib
import pkgutil
import tomllib
from types import ModuleType
from typing import Any

import pytest
from fastapi.routing import iter_route_contexts

from carteira.app import modules_of
from carteira.kit.module import Module
from carteira.modules import LAYERS, REGISTRY, TABLE_OWNERS, ModuleEntry
from carteira.settings import Settings
from tests.support.source import ROOT, SOURCE

CONTRACTS: list[dict[str, Any]] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"][
    "contracts"
]
BY_NAME = {entry.name: entry for entry in REGISTRY}


@pytest.fixture(scope="module")
def modules() -> list[Module]:
    return modules_of(Settings.model_validate({"environment": "development"}))


def test_the_registry_imports_nothing_of_ours() -> None:
    tree = ast.parse((SOURCE / "modules.py").read_text())
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported == {"collections.abc", "dataclasses"}
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Import)]


def test_each_module_is_listed_once_and_the_lowest_first() -> None:
    assert len(BY_NAME) == len(REGISTRY)
    assert [entry.layer for entry in REGISTRY] == sorted((entry.layer for entry in REGISTRY), key=LAYERS.index)


def test_the_layers_contract_is_that_of_the_registry() -> None:
    (contract,) = (contract for contract in CONTRACTS if contract["id"] == "layers")
    layers = [{name.strip("() ") for name in layer.split("|")} for layer in contract["layers"]]
    told = [layer & set(BY_NAME) for layer in reversed(layers) if layer & set(BY_NAME)]
    assert told == [{entry.name for entry in REGISTRY if entry.layer == layer} for layer in LAYERS]


def test_each_module_with_rooms_is_entered_by_its_door() -> None:
    protected = {
        contract["protected_modules"][0]: contract["allowed_importers"]
        for contract in CONTRACTS
        if contract["type"] == "protected" and contract["id"] != "embedded"
    }
    with_rooms = [entry for entry in REGISTRY if len(list((SOURCE / entry.name).glob("*.py"))) > 1]
    assert protected == {f"{entry.door}.*": [entry.door] for entry in with_rooms}


def test_every_file_that_owns_tables_is_documented() -> None:
    owners = {
        "carteira." + path.relative_to(SOURCE).with_suffix("").as_posix().replace("/", ".")
        for path in SOURCE.rglob("*.py")
        if "__tablename__ =" in path.read_text()
    }
    assert owners == set(TABLE_OWNERS)


def test_the_application_is_composed_of_the_named_modules(modules: list[Module]) -> None:
    assert {module.name for module in modules} == set(BY_NAME)


def test_routes_stand_under_their_modules_paths(modules: list[Module]) -> None:
    for module in modules:
        paths = [str(route.path) for router in module.routers for route in iter_route_contexts(router.routes)]
        for path in (*paths, *module.gates, *module.body_limits, *module.time_limits):
            (prefix,) = (told for told in BY_NAME[module.name].paths if path == told or path.startswith(f"{told}/"))
            assert [entry.name for entry in REGISTRY if prefix in entry.paths] == [module.name]
        used = {told for told in BY_NAME[module.name].paths if any(path.startswith(told) for path in paths)}
        assert used == set(BY_NAME[module.name].paths)


@pytest.mark.parametrize("entry", REGISTRY, ids=lambda entry: entry.name)
def test_demo_data_is_made_by_the_door_and_reported(entry: ModuleEntry) -> None:
    assert bool(entry.demo) == bool(entry.demo_line)
    assert not entry.demo or callable(getattr(importlib.import_module(entry.door), entry.demo))


@pytest.mark.parametrize("entry", REGISTRY, ids=lambda entry: entry.name)
def test_a_door_hides_no_file_of_its_module(entry: ModuleEntry) -> None:
    """A function named like a file hides the file from importers; only `seed` does, which nothing imports."""
    door = importlib.import_module(entry.door)
    files = {file.name for file in pkgutil.iter_modules(door.__path__)} - {"seed"}
    assert {name for name in files if not isinstance(getattr(door, name, door), ModuleType)} == set()
