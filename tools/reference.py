"""`make reference`: what is read off the code, pages of `docs/reference/` and operations' problems; tests compare."""

import ast
import fnmatch
import importlib
import pkgutil
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from textwrap import fill
from typing import Any

import typer.main
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, iter_route_contexts
from prometheus_client import REGISTRY as METRICS
from prometheus_client.metrics import MetricWrapperBase

import carteira
from carteira.app import create_app, modules_of
from carteira.cli.commands import app as command_line
from carteira.identity.roles.shipped import roles_of
from carteira.identity.sessions.standing import SELF_SERVICE
from carteira.integration.looks import LOOKS
from carteira.kit.security.audit import PROPOSED
from carteira.kit.web.access import Acts, Claims, Looks
from carteira.kit.web.approvals import Operation
from carteira.kit.web.problems import Problem
from carteira.modules import KIT_EMITS, REGISTRY
from carteira.settings import Settings
from carteira.web.console.audit_words import action_name
from carteira.webhooks import CATALOG, TEST
from tools import dashboards, problems

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "reference"
SOURCE = ROOT / "src" / "carteira"
WIDTH = 120
GENERATED = "<!-- Written by `make reference` from the code; change that. -->"


def load_everything() -> None:
    """Import every module of the package, so that each problem and metric is known."""
    for found in pkgutil.walk_packages(carteira.__path__, "carteira."):
        if found.name != "carteira.__main__" and not found.name.startswith("carteira.embedded."):
            importlib.import_module(found.name)


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Write a table of Markdown."""
    lines = [head, ["---"] * len(head), *([str(cell).replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def code(*names: str) -> str:
    """Set names in code, with commas between; a dash for none."""
    return ", ".join(f"`{name}`" for name in names) or "–"


def _demanded(dependant: Dependant) -> Iterator[str]:
    if isinstance(dependant.call, Claims):
        yield from dependant.call.claims
    for inner in dependant.dependencies:
        yield from _demanded(inner)


def _looked_at() -> Iterator[tuple[str, str]]:
    """Return each claim that a verb looks at by itself, and the file."""
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and node.args and _name(node.func) in {"may", "require", "require_self_or"}:
                claim = _claim(node.args[-1], path)
                if claim is not None and (claim in SELF_SERVICE or ":" in claim):
                    yield claim, path.relative_to(SOURCE).as_posix()


def _name(function: ast.expr) -> str:
    return str(getattr(function, "attr", None) or getattr(function, "id", ""))


def _claim(argument: ast.expr, path: Path) -> str | None:
    """Return the claim that an argument names as text or as a constant of its file; None where it is a parameter."""
    if isinstance(argument, ast.Constant):
        return str(argument.value)
    if isinstance(argument, ast.Name) and argument.id.isupper():
        module = path.relative_to(SOURCE.parent).with_suffix("").as_posix().replace("/", ".")
        return str(getattr(importlib.import_module(module), argument.id))
    return None


def _operations() -> list[Operation[Any]]:
    """Return every kind of operation that may have to wait for a second person."""
    return [operation for module in modules_of(Settings.model_validate({})) for operation in module.operations]


def asked_for() -> tuple[dict[str, set[str]], dict[str, set[str]]]:
    """Return each claim that the code requires: by route, and by file of the functions that check it."""
    routes: defaultdict[str, set[str]] = defaultdict(set)
    for route in iter_route_contexts(create_app(Settings.model_validate({})).api.routes):
        if not isinstance(route.original_route, APIRoute):
            continue  # the scripts and styles of `/docs`
        for claim in _demanded(route.dependant):
            routes[claim] |= {f"{method} {route.path}" for method in route.methods or ()}
    for operation in _operations():
        routes[operation.claim].add(f"POST /pending/{{operation_id}}/approve ({operation.kind})")
    verbs: defaultdict[str, set[str]] = defaultdict(set)
    for claim, file in _looked_at():
        verbs[claim].add(file)
    for kind in CATALOG.values():
        verbs[kind.claim].add("webhooks/catalog.py")
    return routes, verbs


def claims() -> str:
    """Write each claim, the roles that have it, and the routes and functions that require it."""
    routes, verbs = asked_for()
    rows = [
        (
            code(claim),
            ", ".join(roles_of(claim)) or "–",
            "<br>".join(f"`{route}`" for route in sorted(routes[claim])) or "–",
            code(*sorted(verbs[claim])),
        )
        for claim in sorted({*routes, *verbs})
    ]
    return (
        "# Claims\n\nA claim allows a person certain operations. A person gets claims by roles, or one by one "
        "from an operator who holds them; `*` stands for all claims, in developers' tokens only. A route that "
        "requires a claim answers 403 without it; a function that checks a claim shows or does less without it, "
        "or answers 403. The roles below are the shipped ones; an operator may change all of them except "
        "`cidadão`, which has no claims, and `administrador`.\n\n"
        + table(("claim", "roles", "routes that require it", "files of the functions that check it"), rows)
    )


def _problems(kind: type[Problem]) -> Iterator[type[Problem]]:
    for inner in kind.__subclasses__():
        if inner.__module__.startswith("carteira."):
            yield inner
            yield from _problems(inner)


def all_problems() -> list[type[Problem]]:
    """Return every kind of problem."""
    return [Problem, *_problems(Problem)]


def errors() -> str:
    """Write every problem that a client may get."""
    rows = {
        (kind.status, kind.code, kind.title, kind.detail)
        for kind in all_problems()
        if not kind.__name__.startswith("_") and (kind is Problem or "code" in vars(kind))
    }
    return (
        "# Errors\n\nEvery error is `application/problem+json` (RFC 9457) with a `code` that never changes and a "
        "`detail` that may be shown to a person; its `type` is `urn:carteira:problem:` and the code. An error's "
        "`detail` may be more precise than the text in this table.\n\n"
        + table(
            ("status", "code", "title", "detail"),
            ((status, code(name), title, detail) for status, name, title, detail in sorted(rows)),
        )
    )


def events() -> str:
    """Write the topics of the outbox, and which tables are followed."""
    emitted = [("kit", KIT_EMITS), *((entry.name, entry.emits) for entry in REGISTRY)]
    rows = [
        (
            code(topic),
            code(*payload),
            name,
            ", ".join(reader.name for reader in REGISTRY if topic in reader.follows),
        )
        for name, emits in emitted
        for topic, payload in emits.items()
    ]
    followers = [
        (code(follower.name), code(_table_of(follower.source)), module.name)
        for module in modules_of(Settings.model_validate({}))
        for follower in module.followers
    ]
    return (
        "# Events\n\nEvents are rows of the outbox (`events`), written in the transaction of the change and read "
        "in commit order. Payloads hold ids, not personal data; each follower receives each event at least once.\n\n"
        + table(("topic", "payload", "emitted by", "handled by"), sorted(rows))
        + "\n\n## Followers\n\nA follower can read any table with `xid` and `id` in the same way. A process that "
        "has written wakes followers over Redis, at most 20 times a second; without a wake they read every 5 "
        "s, and every half second while Redis is unavailable ([ADR 0029](../adr/0029-wakes.md)).\n\n"
        + table(("follower", "table", "module"), sorted(followers))
    )


def _table_of(source: object) -> str:
    """Return the name of a followed table, or the names of the tables that a query reads."""
    name = getattr(source, "name", "")
    froms: list[Any] = getattr(getattr(source, "element", None), "get_final_froms", list)()
    return ", ".join(str(getattr(one, "name", one)).split(" ")[0] for one in froms) or str(name)


def metrics() -> str:
    """Write the product's metrics at `/metrics`."""
    found = [one for one in METRICS._collector_to_names if isinstance(one, MetricWrapperBase)]  # noqa: SLF001 - the library has no public list
    rows = sorted(
        (
            code(one._name + ("_total" if one._type == "counter" else "")),  # noqa: SLF001 - the library has no public way
            one._type,  # noqa: SLF001 - a metric has no public description
            code(*one._labelnames),  # noqa: SLF001 - a metric has no public description
            one._documentation,  # noqa: SLF001 - a metric has no public description
        )
        for one in found
        if one._name.startswith("carteira_")  # noqa: SLF001 - a metric has no public description
    )
    return "# Metrics\n\n`/metrics` answers in Prometheus' text format; `METRICS_TOKEN` closes it.\n\n" + table(
        ("metric", "type", "labels", "meaning"), rows
    )


def _commands(command: Any, path: str) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - typer brings a click of its own
    for name, inner in sorted(getattr(command, "commands", {}).items()):
        if inner.hidden:
            continue
        if getattr(inner, "commands", None):
            yield from _commands(inner, f"{path} {name}")
        else:
            yield f"{path} {name}", inner


def commands() -> str:
    """Write the command line's tree with its help."""
    parts = ["# Commands\n\nThe commands of `carteira`, with the texts of `--help`, which are in Portuguese."]
    for path, command in _commands(typer.main.get_command(command_line), "carteira"):
        parts.append(f"## `{path}`\n\n{(command.help or '').strip()}")
        rows = [
            (code(*(parameter.opts or [parameter.name])), getattr(parameter, "help", None) or "–")
            for parameter in command.params
            if not getattr(parameter, "hidden", False)
        ]
        if rows:
            parts.append(table(("argument", "help"), rows))
    return "\n\n".join(parts)


_RECORDS = {
    *("record", "record_looks", "record_look_at_everybody", "act_row", "acts_of", "look_rows", "look", "act"),
    *("visible", "_visible", "_record", "_record_looks"),
}
"""The functions that record an action of the audit, or are given one to record."""
_ACTION = re.compile(r"[a-z]+(_[a-z]+)+")


@cache
def marked_actions() -> dict[str, tuple[str, set[str]]]:
    """Return the actions that routes declare, each with its kind and its routes."""
    found: dict[str, tuple[str, set[str]]] = {}
    for route in iter_route_contexts(create_app(Settings.model_validate({})).api.routes):
        if not isinstance(route.original_route, APIRoute):
            continue
        for kind in _kinds(route.dependant):
            for action in kind.actions if isinstance(kind, Acts) else (kind.action,):
                marks = found.setdefault(action, ("act" if isinstance(kind, Acts) else "look", set()))
                marks[1].update(f"{method} {route.path}" for method in route.methods or ())
    found["webhook_told"] = ("look", set())  # no route's: a client's endpoint receives it
    return found


def _kinds(dependant: Dependant) -> Iterator[Acts | Looks]:
    if isinstance(dependant.call, Acts | Looks):
        yield dependant.call
    for inner in dependant.dependencies:
        yield from _kinds(inner)


class _Texts(ast.NodeVisitor):
    """Finds the texts that an expression of a file may stand for: literals, constants and variables of the file."""

    def __init__(self, path: Path) -> None:
        relative = path.relative_to(SOURCE.parent).with_suffix("").as_posix()
        self._module = importlib.import_module(relative.replace("/", ".").removesuffix(".__init__"))
        self._assigned: defaultdict[str, list[ast.expr]] = defaultdict(list)
        self.calls: list[ast.Call] = []
        self.visit(ast.parse(path.read_text()))

    def visit_Assign(self, node: ast.Assign) -> None:
        """Note the values of plain names, one by one where a tuple is assigned."""
        for target in node.targets:
            for name, value in zip(*map(_items, (target, node.value)), strict=False):
                if isinstance(name, ast.Name):
                    self._assigned[name.id].append(value)
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        """Note a call that records an action."""
        if _name(node.func) in _RECORDS:
            self.calls.append(node)
        self.generic_visit(node)

    def of(self, node: ast.expr) -> set[str]:
        """Return the texts; a part of an f-string that is no literal stands for any word."""
        if isinstance(node, ast.IfExp):
            return self.of(node.body) | self.of(node.orelse)
        if isinstance(node, ast.JoinedStr):
            return {"".join(part.value if isinstance(part, ast.Constant) else "*" for part in node.values)}  # type: ignore[misc] # literal parts are texts
        if isinstance(node, ast.Subscript):
            choices = self._value(node.value)
            return {text for text in choices.values() if isinstance(text, str)} if isinstance(choices, dict) else set()
        value = node.value if isinstance(node, ast.Constant) else self._value(node)
        if value is None and isinstance(node, ast.Name):
            return {text for assigned in self._assigned[node.id] for text in self.of(assigned)}
        return {value} if isinstance(value, str) else set()

    def _value(self, node: ast.expr) -> Any:  # noqa: ANN401 - a constant of any type
        if isinstance(node, ast.Name):
            return getattr(self._module, node.id, None)
        return getattr(self._value(node.value), node.attr, None) if isinstance(node, ast.Attribute) else None


def _items(node: ast.expr) -> list[ast.expr]:
    return node.elts if isinstance(node, ast.Tuple) else [node]


@cache
def recorded_actions() -> dict[str, set[str]]:
    """Return the actions that the code records, and the files whose calls name them."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for path in sorted(SOURCE.rglob("*.py")):
        if path.name == "__main__.py" or "embedded" in path.parts:
            continue
        texts = _Texts(path)
        for call in texts.calls:
            named = [word.value for word in call.keywords if word.arg == "look"]
            actions_of = next((some for argument in [*named, *call.args] if (some := texts.of(argument))), set())
            for action in actions_of:
                found[action].add(path.relative_to(SOURCE).as_posix())
    acts = [action for action, (kind, _) in marked_actions().items() if kind == "act"]
    for pattern in [action for action in found if "*" in action]:
        for action in fnmatch.filter(acts, pattern):
            found[action] |= found[pattern]
    return {action: files for action, files in found.items() if _ACTION.fullmatch(action)}


def actions() -> list[str]:
    """Return every action that the code records."""
    return sorted({PROPOSED, *marked_actions(), *recorded_actions()})


def audit_actions() -> str:
    """Write the actions of the audit: those of routes with a claim, and the other recorded ones."""
    marked, recorded = marked_actions(), recorded_actions()
    rows = [
        (
            code(action),
            marked[action][0] if action in marked else "event",
            "<br>".join(f"`{route}`" for route in sorted(marked[action][1] if action in marked else ())) or "–",
            code(*sorted(recorded[action])),
            LOOKS.get(action, "–"),
            action_name(action),
        )
        for action in actions()
    ]
    return (
        "# Actions of the audit\n\nThe values of `GET /audit?action=` ([the audit](../explanation/audit.md)). "
        "Routes with a claim leave acts and looks; events come from people's changes of their own accounts, from "
        'jobs and commands, and from the effects of acts. `GET /users/me/accesses` shows "shown as" to the '
        'person whose data were read, and the console\'s audit shows "named".\n\n'
        + table(("action", "kind", "routes that leave it by claim", "files that write it", "shown as", "named"), rows)
    )


def webhook_events() -> str:
    """Write the events of clients' webhooks."""
    rows = [(code(kind.name), kind.about, code(kind.claim), code(*kind.data)) for kind in CATALOG.values()]
    return (
        "# Events of webhooks\n\nThe events that a client's endpoint receives, the claim that the client needs, "
        "and the fields of `data`: ids, centavos and states. [Webhooks](webhooks.md) describes the delivery. "
        "`benefits.…` events of an employer's accounts go to clients of that employer, and to clients without an "
        "employer.\n\n"
        + table(("type", "sent when", "claim", "data"), rows)
        + f"\n\n`{TEST}` is the event of a test call: its `data` is `webhook_id` only."
    )


PAGES = {
    "audit-actions": audit_actions,
    "claims": claims,
    "errors": errors,
    "events": events,
    "metrics": metrics,
    "webhook-events": webhook_events,
    "commands": commands,
}


def page(name: str) -> str:
    """Return a page's whole text."""
    load_everything()
    title, _, rest = PAGES[name]().partition("\n")
    return f"{title}\n\n{GENERATED}\n{wrapped(rest)}\n"


def wrapped(text: str) -> str:
    """Wrap prose; tables and code stay as they are."""
    lines = text.split("\n")
    return "\n".join(line if len(line) <= WIDTH or line.startswith("|") else fill(line, WIDTH) for line in lines)


def main() -> None:
    """Write all pages."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in PAGES:
        (FOLDER / f"{name}.md").write_text(page(name))
    problems.FILE.write_text(problems.text())
    dashboards.write()


if __name__ == "__main__":
    main()
