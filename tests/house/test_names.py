"""A public name means one thing in the whole source."""

import ast
import importlib
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from carteira.kit.web import problems
from tests.support.source import SOURCE


def test_no_public_class_name_stands_in_two_modules() -> None:
    places: defaultdict[str, list[str]] = defaultdict(list)
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(path.relative_to(SOURCE).as_posix())
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


def tree_of(kind: type[problems.Problem], depth: int = 0) -> Iterator[tuple[int, str, str]]:
    """Return each class of problems with its depth, its name, and its status where it sets one."""
    yield depth, kind.__name__, str(kind.status) if "status" in vars(kind) else ""
    for below in kind.__subclasses__():
        if below.__module__ == problems.__name__ and not below.__name__.startswith("_"):
            yield from tree_of(below, depth + 1)


def written_in(module: ModuleType) -> list[tuple[int, str, str]]:
    found = re.findall(r"^    ( *)([A-Z]\w+) *(\d*)$", module.__doc__ or "", re.MULTILINE)
    return [(len(blanks) // 2, name, status) for blanks, name, status in found]


def test_the_tree_of_problems_stands_at_their_head() -> None:
    assert written_in(problems) == list(tree_of(problems.Problem))


def branches_of(module: ModuleType) -> Iterator[tuple[int, str, str]]:
    """Yield a module's errors below bases from other modules, each with its depth, name and own status."""
    own = [kind for kind in vars(module).values() if isinstance(kind, type) and kind.__module__ == module.__name__]
    errors = [kind for kind in own if issubclass(kind, Exception)]

    def below(base: type, depth: int) -> Iterator[tuple[int, str, str]]:
        for kind in errors:
            if kind.__bases__[0] is base:
                yield depth, kind.__name__, str(vars(kind).get("status", ""))
                yield from below(kind, depth + 1)

    for base in dict.fromkeys(kind.__bases__[0] for kind in errors if kind.__bases__[0] not in errors):
        yield 0, base.__name__, str(getattr(base, "status", ""))
        yield from below(base, 1)


ERRORS = [path for path in sorted(SOURCE.rglob("errors.py")) if path.read_text().count("\nclass ") > 1]


@pytest.mark.parametrize("path", ERRORS, ids=lambda path: path.relative_to(SOURCE).parent.as_posix())
def test_the_errors_of_a_module_stand_as_a_tree_at_their_head(path: Path) -> None:
    name = ".".join(path.relative_to(SOURCE).with_suffix("").parts)
    module = importlib.import_module(f"carteira.{name}")
    assert written_in(module) == list(branches_of(module))
