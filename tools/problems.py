"""The problems that each operation of the API may answer, read off the code: what its verbs raise and nobody catches.

From a route's function and dependencies, calls are followed through the package by the names of modules, by annotations
of parameters and results, and by the fields of objects that modules make (an `Operation` and its verb). A problem that
is named outside of an `except` counts as raised there. `HOOKS` lists the calls that no name leads to. The tests check
the result: a request of theirs that gets a problem which its operation does not declare fails.
"""

import ast
import dataclasses
import inspect
import json
import textwrap
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, iter_route_contexts

from carteira import identity
from carteira.app import create_app, modules_of
from carteira.documents import content, forms, names, pictures, scanner, upload
from carteira.identity.social import providers
from carteira.identity.social import service as social
from carteira.identity.users import service as users
from carteira.integration import payment_purposes
from carteira.kit.db.engine import Database
from carteira.kit.db.errors import DatabaseDown, OperationInProgress, TextNotStorable
from carteira.kit.db.reads import rows
from carteira.kit.security import approvals as operators
from carteira.kit.web import access, approvals, idempotency
from carteira.kit.web.json_route import JsonRoute
from carteira.kit.web.problems import (
    EXPECTED,
    InvalidInput,
    PayloadTooLarge,
    Problem,
    Refusal,
    RequestTimedOut,
    problem_of,
)
from carteira.kit.web.state import StateKey
from carteira.kit.web.versions import UnknownVersion
from carteira.payments import charges, returns
from carteira.payments import routes as payment_routes
from carteira.settings import Settings

ROOT = Path(__file__).parents[1]
FILE = ROOT / "src" / "carteira" / "problems.json"
Kind = type[Exception]
Found = frozenset[Kind]
NOTHING: Found = frozenset()
EVERYWHERE: Found = frozenset({UnknownVersion, InvalidInput, RequestTimedOut})
"""The problems of every operation: before its route, by its query, and when it takes too long."""


def _methods(*kinds: type) -> tuple[Any, ...]:
    return tuple(method for kind in kinds for method in vars(kind).values() if isinstance(method, types.FunctionType))


def _classes_of(module: types.ModuleType) -> list[type]:
    return [kind for kind in vars(module).values() if isinstance(kind, type) and kind.__module__ == module.__name__]


def _erasers() -> tuple[Any, ...]:
    modules = modules_of(Settings.model_validate({}))
    hooks = [hook for module in modules for hook in (module.refuse_erasure, module.traces_of_person) if hook]
    return (*hooks, *(module.erase_person for module in modules if module.erase_person))


def _checks() -> tuple[Any, ...]:
    modules = modules_of(Settings.model_validate({}))
    return tuple(operation.check for module in modules for operation in module.operations if operation.check)


# Calls that no name leads to: the composition root puts the function on the application's state, or passes it on.
HOOKS: Mapping[Any, tuple[Any, ...]] = {
    access._principal: (identity.authenticate,),  # noqa: SLF001 - the walk needs the name
    users._erase: _erasers(),  # noqa: SLF001 - the walk needs the modules' names
    social._profile: _methods(providers.Google, providers.GovBr, providers.Meta),  # noqa: SLF001 - the walk needs the name
    forms.read_form: (*_methods(upload.Upload, scanner.Scanner, scanner.Scan), names.parse_file_name),
    operators.Act.weigh: (operators.OperatorAct.weigh,),  # an approved act's error becomes `pending_failed`
    operators.Act.refuse_own: (operators.OperatorAct.refuse_own, operators.ApprovedAct.refuse_own),
    charges.store: (payment_purposes.aim_at_card, payment_purposes.aim_at_fund),
    payment_routes.return_payment: (returns.ask,),
    returns.begin: (payment_purposes.return_recharge, payment_purposes.return_deposit),
    approvals.Desk.approve: (identity.require_proof, *_checks()),
    upload.Upload.feed: _methods(*_classes_of(content), *_classes_of(pictures)),
}
LEAVES: Mapping[Any, Found] = {
    Database.transaction: frozenset({DatabaseDown, OperationInProgress, TextNotStorable}),
    rows: frozenset({DatabaseDown, TextNotStorable}),
}
"""Functions that turn a library's errors into facts."""


class Reach:
    """The exceptions that functions may raise, to a fixed point: mutually recursive ones together."""

    def __init__(self) -> None:
        self._known: dict[Any, Found] = {}
        self._round: set[Any] = set()

    def of_routes(self, routes: Sequence[APIRoute]) -> list[Found]:
        """Return what each route may raise."""
        while True:
            before = dict(self._known)
            self._round = set()
            found = [self._of_route(route) for route in routes]
            if before == self._known:
                return found

    def _of_route(self, route: APIRoute) -> Found:
        found = EVERYWHERE
        if route.body_field or _reads_body(route):
            found |= frozenset({PayloadTooLarge})
        for call in _calls(route.dependant):
            found |= self.effect(call)
        return found | self.effect(route.endpoint)

    def effect(self, thing: Any) -> Found:  # noqa: ANN401, PLR0911 - any object
        """Return the exceptions that using a named object may raise."""
        if isinstance(thing, type):
            if issubclass(thing, Exception):
                return frozenset({thing}) if issubclass(thing, EXPECTED) else NOTHING
            made = [vars(thing)[name] for name in ("__init__", "__post_init__") if name in vars(thing)]
            return self._all(made) if _is_ours(thing) else NOTHING
        if isinstance(thing, staticmethod | classmethod):
            return self.effect(thing.__func__)
        if isinstance(thing, types.MethodType):
            return self.effect(thing.__func__)
        if isinstance(thing, types.FunctionType):
            return self._of_function(thing) if _is_ours(thing) else NOTHING
        if isinstance(thing, dict):
            return self._all(value for value in thing.values() if callable(value))
        if isinstance(thing, list | tuple):
            return self._all(value for value in thing if callable(value) or dataclasses.is_dataclass(value))
        if _is_ours(type(thing)):
            held = self._all(value for value in getattr(thing, "__dict__", {}).values() if callable(value))
            call = inspect.getattr_static(type(thing), "__call__", None)
            return held | (self.effect(call) if call is not None else NOTHING)
        return NOTHING

    def _all(self, things: Iterable[Any]) -> Found:
        return NOTHING.union(*(self.effect(thing) for thing in things))

    def _of_function(self, function: types.FunctionType) -> Found:
        if function in LEAVES:
            return LEAVES[function]
        if function in self._round:  # known already, or being worked out
            return self._known.get(function, NOTHING)
        self._round.add(function)
        found = self._all(HOOKS.get(function, ()))
        inner = getattr(function, "__wrapped__", None)
        if inner is not None:
            found |= self.effect(inner)
            if idempotency.PARAMETER in inspect.signature(function).parameters:
                found |= self.effect(idempotency.Call.answer)
        else:
            found |= self._of_parts(_parts_of(function))
        self._known[function] = self._known.get(function, NOTHING) | found
        return self._known[function]

    def _of_parts(self, parts: Iterable[Any]) -> Found:
        found: set[Kind] = set()
        for part in parts:
            if isinstance(part, _Tried):
                found.update(kind for kind in self._of_parts(part.parts) if not issubclass(kind, part.caught))
            else:
                found |= self.effect(part)
        return frozenset(found)


@dataclasses.dataclass(frozen=True, slots=True)
class _Tried:
    """The parts of a `try` whose handlers catch these kinds."""

    parts: list[Any]
    caught: tuple[type[BaseException], ...]


class _Body:
    """Walks the statements of one function, with the types of its names as far as annotations tell them.

    It finds parts: what the statements name, and a `_Tried` for each `try` that catches something.
    """

    def __init__(self, function: types.FunctionType) -> None:
        self._globals = function.__globals__
        self._inner = dict(inspect.getclosurevars(function).nonlocals)
        self._types: dict[str, list[type]] = {name: _classes(hint) for name, hint in _hints(function).items()}
        owner = _owner(function)
        names = list(inspect.signature(function).parameters)
        if owner is not None and names and names[0] in {"self", "cls"}:
            self._types[names[0]] = [owner]

    def visit_all(self, nodes: Iterable[ast.AST]) -> list[Any]:
        return [part for node in nodes for part in self._visit(node)]

    def _visit(self, node: ast.AST) -> list[Any]:
        if isinstance(node, ast.Try):
            return self._try(node)
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            self._types[node.target.id] = _classes(self._evaluate(node.annotation))
        elif isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            self._types.setdefault(node.targets[0].id, self.type_of(node.value))
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in {"isinstance", "issubclass"}
        ):
            return self.visit_all(node.args[:1])
        elif isinstance(node, ast.With | ast.AsyncWith):
            for item in node.items:
                if isinstance(item.optional_vars, ast.Name):
                    self._types.setdefault(item.optional_vars.id, self.type_of(item.context_expr))
        found = self.visit_all(ast.iter_child_nodes(node))
        if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Load):
            found += self._named(node)
        return found

    def _try(self, node: ast.Try) -> list[Any]:
        raised = self.visit_all(node.body)
        after = self.visit_all([*node.orelse, *node.finalbody])
        for handler in node.handlers:
            kinds = self._caught(handler.type)
            again = any(isinstance(inner, ast.Raise) and inner.exc is None for inner in ast.walk(handler))
            if kinds and not again:
                raised = [_Tried(raised, kinds)]
            after += self.visit_all(handler.body)
        return raised + after

    def _caught(self, caught: ast.expr | None) -> tuple[type[BaseException], ...]:
        parts = caught.elts if isinstance(caught, ast.Tuple) else [caught] if caught is not None else []
        found = [thing for part in parts for thing in self._named(part)]
        flat = [one for thing in found for one in (thing if isinstance(thing, tuple) else (thing,))]
        return tuple(one for one in flat if isinstance(one, type) and issubclass(one, BaseException))

    def _named(self, node: ast.AST) -> list[Any]:
        """Return the objects that an expression names, as far as they can be found."""
        if isinstance(node, ast.Name):
            if node.id in self._inner:
                return [self._inner[node.id]]
            return [self._globals[node.id]] if node.id in self._globals else []
        if not isinstance(node, ast.Attribute):
            return []
        found = []
        for base in self._named(node.value):
            value = (
                inspect.getattr_static(base, node.attr, None)
                if not isinstance(base, types.ModuleType)
                else (getattr(base, node.attr, None))
            )
            found.append(value)
        for kind in self.type_of(node.value):
            value = inspect.getattr_static(kind, node.attr, None)
            found.append(value.fget if isinstance(value, property) else value)
        return [one for one in found if one is not None]

    def type_of(self, node: ast.AST) -> list[type]:
        if isinstance(node, ast.Await):
            return self.type_of(node.value)
        if isinstance(node, ast.Name):
            if node.id in self._types:
                return self._types[node.id]
            return [type(thing) for thing in self._named(node) if _is_ours(type(thing))]
        if isinstance(node, ast.Call):
            classes = self._kept_under(node.func)
            for thing in self._named(node.func):
                if isinstance(thing, type):
                    classes.append(thing)
                else:
                    function = getattr(thing, "__func__", thing)
                    classes += (
                        _classes(_hints(function).get("return")) if isinstance(function, types.FunctionType) else []
                    )
            return classes
        if isinstance(node, ast.Attribute):
            classes = []
            for kind in self.type_of(node.value):
                classes += _classes(_attribute_hints(kind).get(node.attr))
                value = inspect.getattr_static(kind, node.attr, None)
                if isinstance(value, property) and isinstance(value.fget, types.FunctionType):
                    classes += _classes(_hints(value.fget).get("return"))
            return classes
        return []

    def _kept_under(self, node: ast.expr) -> list[type]:
        """Return the types of what `KEY.of` and `KEY.get` read from the application's state."""
        if not isinstance(node, ast.Attribute):
            return []
        keys = [thing for thing in self._named(node.value) if isinstance(thing, StateKey)]
        kept = [part for key in keys for part in get_args(getattr(key, "__orig_class__", None))]
        return [kind for part in kept for kind in _classes(part)]

    def _evaluate(self, node: ast.expr) -> Any:  # noqa: ANN401 - an annotation
        try:
            return eval(ast.unparse(node), self._globals, self._inner)  # noqa: S307 - our own annotations
        except (NameError, TypeError, AttributeError):
            return None


def _is_ours(thing: Any) -> bool:  # noqa: ANN401 - any object
    return str(getattr(thing, "__module__", "")).startswith("carteira.")


@cache
def _hints(function: Callable[..., Any]) -> Mapping[str, Any]:
    try:
        return get_type_hints(function, include_extras=True)
    except (NameError, TypeError, AttributeError):
        return {}


_attributes: dict[type, dict[str, Any]] = {}


def _attribute_hints(kind: type) -> Mapping[str, Any]:
    """Return the types of an object's attributes, without those that are still being worked out."""
    if kind not in _attributes:
        found = _attributes[kind] = {}
        bases = [base for base in reversed(kind.__mro__) if _is_ours(base)]
        for base in bases:
            try:
                found.update(get_type_hints(base, include_extras=True))
            except (NameError, TypeError, AttributeError):
                continue
        for base in bases:
            for name, hints in _assigned_in(base).items():
                found.setdefault(name, hints)
    return _attributes[kind]


def _assigned_in(kind: type) -> dict[str, Any]:
    """Return the types of the attributes that a class's methods assign to `self`, as far as they can be found."""
    found: dict[str, Any] = {}
    for method in vars(kind).values():
        tree = _tree_of(method) if isinstance(method, types.FunctionType) and _is_ours(method) else None
        if tree is None:
            continue
        body = _Body(method)
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Attribute):
                hints = body.type_of(node.value)
                if hints:
                    found.setdefault(node.targets[0].attr, hints)
    return found


def _classes(hint: Any) -> list[type]:  # noqa: ANN401 - an annotation
    """Return the classes that a value of an annotation may be of: those of ours, in unions and lists too."""
    if isinstance(hint, list):
        return hint
    if get_origin(hint) is Annotated:
        return _classes(get_args(hint)[0])
    if get_origin(hint) in {typing.Union, types.UnionType, *(list, tuple)}:
        return [kind for part in get_args(hint) for kind in _classes(part)]
    origin = get_origin(hint) or hint
    if isinstance(origin, type) and _is_ours(origin):
        return [origin]
    if get_args(hint):
        return [kind for part in get_args(hint) for kind in _classes(part)]
    return []


@cache
def _tree_of(function: types.FunctionType) -> ast.FunctionDef | ast.AsyncFunctionDef | None:
    try:
        parsed = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    except (OSError, SyntaxError, TypeError):
        return None
    return parsed if isinstance(parsed, ast.FunctionDef | ast.AsyncFunctionDef) else None


@cache
def _parts_of(function: types.FunctionType) -> list[Any]:
    tree = _tree_of(function)
    return [] if tree is None else _Body(function).visit_all(tree.body)


def _owner(function: types.FunctionType) -> type | None:
    """Return the class of a method."""
    module = inspect.getmodule(function)
    path = function.__qualname__.split(".")[:-1]
    found: Any = module
    for part in path:
        found = getattr(found, part, None)
    return found if isinstance(found, type) else None


def _calls(dependant: Dependant) -> Iterator[Any]:
    for inner in dependant.dependencies:
        if inner.call is not None:
            yield inner.call
        yield from _calls(inner)


def _reads_body(route: APIRoute) -> bool:
    return "requestBody" in (route.openapi_extra or {})


def problems_of(kinds: Found) -> dict[str, list[str]]:
    """Return the statuses and codes that exceptions become in answers."""
    by_status: dict[str, set[str]] = {}
    for kind in kinds:
        problem = kind if issubclass(kind, Problem) else type(problem_of(_blank(kind)))
        if problem.code in {Problem.code, Refusal.code}:
            continue  # what all problems, and all refusals, are
        by_status.setdefault(str(problem.status), set()).add(problem.code)
    return {status: sorted(codes) for status, codes in sorted(by_status.items())}


def _blank(kind: Kind) -> Exception:
    made = kind.__new__(kind)
    for name, value in (("retry_after_seconds", 1), ("left", 0)):
        setattr(made, name, value)
    return made


@cache
def by_operation() -> dict[str, dict[str, list[str]]]:
    """Return the statuses and codes of each operation of the contract; lean endpoints answer no problems."""
    settings = Settings.model_validate({})
    app = create_app(settings).api
    gates = tuple(prefix for module in modules_of(settings) for prefix in module.gates)
    routes = [context.original_route for context in iter_route_contexts(app.routes)]
    ours = [
        route
        for route in routes
        if isinstance(route, JsonRoute) and route.include_in_schema and not route.path.startswith(gates)
    ]
    found = {}
    for route, raised in zip(ours, Reach().of_routes(ours), strict=True):
        for method in route.methods or ():
            found[f"{method} {route.path_format}"] = problems_of(raised)
    return dict(sorted(found.items()))


def text() -> str:
    """Return the file that the server reads."""
    return json.dumps(by_operation(), indent=1, ensure_ascii=False) + "\n"
