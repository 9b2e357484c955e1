"""One name, one thing, wherever a reader meets it."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator

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
    """List how deep each class of problems stands, its name, and the status where it is its own."""
    yield depth, kind.__name__, str(kind.status) if "status" in vars(kind) else ""
    for below in kind.__subclasses__():
        if below.__module__ == problems.__name__ and not below.__name__.startswith("_"):
            yield from tree_of(below, depth + 1)


def test_the_tree_of_problems_stands_at_their_head() -> None:
    written = re.findall(r"^    ( *)([A-Z]\w+) *(\d*)$", problems.__doc__ or "", re.MULTILINE)
    assert [(len(blanks) // 2, name, status) for blanks, name, status in written] == list(tree_of(problems.Problem))
