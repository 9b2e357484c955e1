"""Every table of the console can be sorted and downloaded, or this file gives the reason."""

import importlib
import pkgutil
from pathlib import Path
from typing import Any

from fastapi.dependencies.models import Dependant
from fastapi.routing import RouteContext, iter_route_contexts

from carteira.app import create_app
from carteira.kit.web.access import Acts, Claims, StepUp
from carteira.web import console
from carteira.web.console.screens import EXPORT
from carteira.web.console.tables import EXPORTED, WORDS, Table
from tests.support.app import settings_for

UNSORTED = {
    "cards.DEBT_TABLE": "it goes person by person, along its index; no single column has that order",
    "documents.TABLE": "a queue in the order of registration, which no column shows: a new file keeps the old place",
    "members.TABLE": "by the ids of an employer's few operators, which no column shows",
}
UNFILTERED = {
    "members.TABLE": "the few operators of one employer, all of them on the page",
}
NOT_DOWNLOADED = {
    "members.FOUND": "a search for the one to be bound; people are downloaded from their own list",
}


def tables() -> dict[str, Table[Any]]:
    """Return each table that a module of the console declares, by module and name."""
    found: dict[int, tuple[str, Table[Any]]] = {}
    for module in pkgutil.iter_modules(console.__path__):
        for name, value in vars(importlib.import_module(f"{console.__name__}.{module.name}")).items():
            if isinstance(value, Table):
                found.setdefault(id(value), (f"{module.name}.{name}", value))
    return dict(found.values())


def calls(dependant: Dependant) -> list[Any]:
    """Return what a route depends on, at any depth."""
    return [dependant.call, *(call for inner in dependant.dependencies for call in calls(inner))]


def downloads(tmp_path: Path, database_url: str) -> dict[str, RouteContext]:
    app = create_app(settings_for(tmp_path, database_url=database_url))
    routes = iter_route_contexts(app.api.routes)
    return {route.path or "": route for route in routes if (route.path or "").endswith(".csv")}


def test_each_table_is_sorted_or_says_why_not() -> None:
    assert len(tables()) > 35
    unsorted = {name for name, table in tables().items() if table.order is None and not table.whole}
    assert unsorted == set(UNSORTED)
    both = [name for name, table in tables().items() if table.order is not None and table.whole]
    assert not both, "a whole list is sorted by its heads"


def test_each_table_is_filtered_or_says_why_not() -> None:
    assert {name for name, table in tables().items() if not table.filters} == set(UNFILTERED)
    wrong = [name for name, table in tables().items() if WORDS in table.filters and not table.whole]
    assert not wrong, "a table applies these filters itself where it is whole"


def test_each_table_is_downloaded_by_claim_or_says_why_not(tmp_path: Path, database_url: str) -> None:
    served = downloads(tmp_path, database_url)
    without = {name for name, table in tables().items() if not table.exports}
    assert without == set(NOT_DOWNLOADED)
    for name, table in tables().items():
        if not table.exports:
            continue
        found = calls(served[f"{table.path}.csv"].dependant)
        demanded = {claim for one in found if isinstance(one, Claims) for claim in one.claims}
        assert {EXPORT, *table.export_needs} <= demanded, name
        assert any(isinstance(one, StepUp) for one in found), name
        assert any(isinstance(one, Acts) and EXPORTED in one.actions for one in found), name
