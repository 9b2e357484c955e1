"""`make reference`: what is read off the code, pages of `docs/reference/` and operations' problems; tests compare."""

import ast
import importlib
import pkgutil
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
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
from carteira.kit.web.access import Acts, Claims, Looks
from carteira.kit.web.approvals import Operation
from carteira.kit.web.problems import Problem
from carteira.modules import KIT_EMITS, REGISTRY
from carteira.settings import Settings
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
    """Give each claim that a verb looks at by itself, and the file."""
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and node.args and _name(node.func) in {"may", "require", "require_self_or"}:
                claim = _claim(node.args[-1], path)
                if claim is not None and (claim in SELF_SERVICE or ":" in claim):
                    yield claim, path.relative_to(SOURCE).as_posix()


def _name(function: ast.expr) -> str:
    return str(getattr(function, "attr", None) or getattr(function, "id", ""))


def _claim(told: ast.expr, path: Path) -> str | None:
    """Give the claim that an argument names as text or as a constant of its file; None where it is a parameter."""
    if isinstance(told, ast.Constant):
        return str(told.value)
    if isinstance(told, ast.Name) and told.id.isupper():
        module = path.relative_to(SOURCE.parent).with_suffix("").as_posix().replace("/", ".")
        return str(getattr(importlib.import_module(module), told.id))
    return None


def _operations() -> list[Operation[Any]]:
    """Give every kind of operation that may have to wait for a second person."""
    return [operation for module in modules_of(Settings.model_validate({})) for operation in module.operations]


def asked_for() -> tuple[dict[str, set[str]], dict[str, set[str]]]:
    """Give each claim that the code asks for: by route, and by file of the verbs that look at it."""
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
    """Write who may what: each claim, the roles that bring it, and the routes and verbs that ask for it."""
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
        "# Claims\n\nA claim lets a person do what others may not. Roles bring some, an operator who holds one grants "
        "it by itself; `*` stands for all of them and is a developer's token's only. A route that asks for a claim "
        "answers 403 without it; a verb that looks at one shows or does less without it, or answers 403. The roles are "
        "those that ship; an operator may change all of them but `cidadão`, which brings nothing, and "
        "`administrador`.\n\n"
        + table(("claim", "roles", "routes that ask for it", "files of the verbs that look at it"), rows)
    )


def _problems(kind: type[Problem]) -> Iterator[type[Problem]]:
    for inner in kind.__subclasses__():
        if inner.__module__.startswith("carteira."):
            yield inner
            yield from _problems(inner)


def all_problems() -> list[type[Problem]]:
    """Give every kind of problem."""
    return [Problem, *_problems(Problem)]


def errors() -> str:
    """Write every problem that a client may see."""
    rows = {
        (kind.status, kind.code, kind.title, kind.detail)
        for kind in all_problems()
        if not kind.__name__.startswith("_") and (kind is Problem or "code" in vars(kind))
    }
    return (
        "# Errors\n\nEvery error is `application/problem+json` (RFC 9457) with a `code` that never changes and a "
        "`detail` that may be shown to a person; its `type` is `urn:carteira:problem:` and the code. Where "
        "an error knows more "
        "than stands here, its `detail` says so.\n\n"
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
        "# Events\n\nEvents are rows of the outbox (`events`), written in the transaction that makes them true and "
        "read in commit order. Payloads hold ids, not personal data; who follows them is told each at least once.\n\n"
        + table(("topic", "payload", "who emits it", "who acts on it"), sorted(rows))
        + "\n\n## Followers\n\nAny table with `xid` and `id` is followed likewise. Followers read as soon as a process "
        "that wrote wakes them, over Redis, 20 times a second at most; by themselves they look every 5 s, and every "
        "half second while Redis is away ([ADR 0029](../adr/0029-wakes.md)).\n\n"
        + table(("follower", "table", "module"), sorted(followers))
    )


def _table_of(source: object) -> str:
    """Name a followed table; of a query, those that it reads."""
    name = getattr(source, "name", "")
    froms: list[Any] = getattr(getattr(source, "element", None), "get_final_froms", list)()
    return ", ".join(str(getattr(one, "name", one)).split(" ")[0] for one in froms) or str(name)


def metrics() -> str:
    """Write what `/metrics` tells of the product."""
    found = [one for one in METRICS._collector_to_names if isinstance(one, MetricWrapperBase)]  # noqa: SLF001 - no other list
    rows = sorted(
        (
            code(one._name + ("_total" if one._type == "counter" else "")),  # noqa: SLF001 - the library tells no other way
            one._type,  # noqa: SLF001 - a metric has no public description
            code(*one._labelnames),  # noqa: SLF001 - a metric has no public description
            one._documentation,  # noqa: SLF001 - a metric has no public description
        )
        for one in found
        if one._name.startswith("carteira_")  # noqa: SLF001 - a metric has no public description
    )
    return "# Metrics\n\n`/metrics` answers in Prometheus' text format; `METRICS_TOKEN` closes it.\n\n" + table(
        ("metric", "type", "labels", "what it tells"), rows
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
    parts = [
        "# Commands\n\n`carteira` and what stands under it, as `--help` tells; what an operator reads is in Portuguese."
    ]
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


_RECORDS = {"record", "record_look", "record_looks", "record_look_at_everybody", "deliver"}


def marked_actions() -> dict[str, tuple[str, set[str]]]:
    """Give the actions that routes say they leave: what kind each is, and the routes."""
    found: dict[str, tuple[str, set[str]]] = {}
    for route in iter_route_contexts(create_app(Settings.model_validate({})).api.routes):
        if not isinstance(route.original_route, APIRoute):
            continue
        for kind in _kinds(route.dependant):
            for action in kind.actions if isinstance(kind, Acts) else (kind.action,):
                told = found.setdefault(action, ("act" if isinstance(kind, Acts) else "look", set()))
                told[1].update(f"{method} {route.path}" for method in route.methods or ())
    found["webhook_told"] = ("look", set())  # no route's: a client's endpoint is told
    return found


def _kinds(dependant: Dependant) -> Iterator[Acts | Looks]:
    if isinstance(dependant.call, Acts | Looks):
        yield dependant.call
    for inner in dependant.dependencies:
        yield from _kinds(inner)


def _recorded() -> dict[str, set[str]]:
    """Give the actions that the code writes out where it records them, and the files."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and _name(node.func) in _RECORDS and len(node.args) > 1:
                told = node.args[1]
                texts = [told] if isinstance(told, ast.Constant) else [getattr(told, part, None) for part in _CHOICE]
                for text in texts:
                    if isinstance(text, ast.Constant) and isinstance(text.value, str):
                        found[text.value].add(path.relative_to(SOURCE).as_posix())
    return found


_CHOICE = ("body", "orelse")


def audit_actions() -> str:
    """Write the actions of the audit: what routes leave by claim, and what else is recorded."""
    marked, recorded = marked_actions(), _recorded()
    rows = [
        (
            code(action),
            marked[action][0] if action in marked else "event",
            "<br>".join(f"`{route}`" for route in sorted(marked[action][1] if action in marked else ())) or "–",
            code(*sorted(recorded[action])) if action in recorded else "–",
            LOOKS.get(action, "–"),
        )
        for action in sorted({*marked, *recorded})
    ]
    return (
        "# Actions of the audit\n\nWhat `GET /audit?action=` is asked for ([the audit](../explanation/audit.md)). An "
        "act or a look is what a route leaves by claim; an event is what people do to their own account, what a job or "
        "a command does, and what follows from an act. The last column is what `GET /users/me/accesses` tells the "
        "person who was looked at.\n\n"
        + table(("action", "kind", "routes that leave it by claim", "files that write it", "told as"), rows)
    )


def webhook_events() -> str:
    """Write what clients' webhooks are told of."""
    rows = [(code(kind.name), kind.about, code(kind.claim), code(*kind.data)) for kind in CATALOG.values()]
    return (
        "# Events of webhooks\n\nWhat a client's endpoint may be told of, the claim that the client needs for it, and "
        "what `data` holds: ids, centavos and states. [Webhooks](webhooks.md) says how it is told. The `benefits.…` of "
        "an employer's accounts go to clients that are bound to that employer, and to those that are bound to none.\n\n"
        + table(("type", "told when", "claim", "data"), rows)
        + f"\n\n`{TEST}` is what a test call tells: `webhook_id`, and nothing that happened."
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
    """Give a page's whole text."""
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
