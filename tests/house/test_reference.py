"""The generated pages of `docs/reference/` agree with the code, and roles grant the claims that they list."""

import ast
import re

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from carteira.app import modules_of
from carteira.identity.roles import shipped
from carteira.integration.looks import LOOKS
from carteira.settings import Settings
from carteira.web.console.audit_details import DETAILS
from carteira.web.console.audit_words import ACTIONS
from carteira.web.console.claim_words import CLAIMS
from carteira.web.console.words import OPERATIONS
from tests.support.source import SOURCE
from tools import problems, reference


@pytest.mark.parametrize("name", reference.PAGES)
def test_the_page_matches_the_code(name: str) -> None:
    written = (reference.FOLDER / f"{name}.md").read_text()
    assert written == reference.page(name), "run `make reference`"


def test_operations_declare_the_problems_that_their_code_may_raise() -> None:
    assert problems.FILE.read_text() == problems.text(), "run `make reference`"


def test_every_problem_is_declared_by_an_operation_that_may_answer_it() -> None:
    reference.load_everything()
    declared = {code for answers in problems.by_operation().values() for codes in answers.values() for code in codes}
    assert {kind.code for kind in reference.all_problems()} - declared == {
        *("capture_too_large", "hold_not_active", "hold_not_found"),  # of the ledger's holds, which no route makes
        *("conflict", "internal_error", "refused"),  # bases: of all of a status, and of all refusals
        *("http_error", "method_not_allowed", "not_found"),  # outside of any operation
        *("head_timed_out", "head_too_large", "not_http", "too_many_connections"),  # the bytes never became a request
        "form_not_ours",  # of pages
        "operation_changed",  # answered as `pending_failed`
    }


async def test_seeded_claims_are_those_that_the_code_checks(tx: AsyncSession) -> None:
    """A claim that no migration seeds, or seeds without `identity_seed_claim`, could never be granted."""
    routes, verbs = reference.asked_for()
    seeded = await tx.scalars(text("SELECT description FROM claims WHERE built_in"))
    assert set(seeded) == {*routes, *verbs}
    assert list(await tx.scalars(text("SELECT description FROM claims WHERE NOT built_in"))) == []


def test_each_claim_has_words_on_the_console() -> None:
    routes, verbs = reference.asked_for()
    assert set(CLAIMS) == {*routes, *verbs}
    assert all(told[0].isupper() for told in CLAIMS.values())


async def test_roles_grant_the_claims_that_the_page_lists(tx: AsyncSession) -> None:
    rows = await tx.execute(
        text(
            "SELECT claims.description, coalesce(array_agg(roles.description) FILTER (WHERE roles.built_in), '{}')"
            " FROM claims LEFT JOIN role_claims ON role_claims.claim_id = claims.id"
            " LEFT JOIN roles ON roles.id = role_claims.role_id GROUP BY claims.description"
        )
    )
    page = reference.page("claims")
    for claim, roles in rows:
        assert sorted(roles) == sorted(shipped.roles_of(claim)), claim
        assert f"| `{claim}` | {', '.join(shipped.roles_of(claim)) or '–'} |" in page
    shipping = await tx.scalars(text("SELECT description FROM roles WHERE built_in"))
    assert set(shipping) == {*shipped.ROLES, *shipped.FIXED}


def test_roles_of_the_product_grant_claims_that_the_code_checks() -> None:
    routes, verbs = reference.asked_for()
    assert frozenset().union(*shipped.ROLES.values()) <= {*routes, *verbs}


ADDS_OR_MOVES = {
    "benefits.open_account": "opens one",
    "benefits.credit_many": "moves the amounts of its lines",
    "benefits.reversal": "moves a purchase's amount back",
    "benefits.refund": "moves a part of a purchase back",
    "benefits.schedule_credits": "adds a schedule",
    "benefits.import_accounts": "opens those of a file",
    "identity.factor_reset": "deletes secrets, which nobody sees",
    "ledger.reversal": "moves an entry's amounts back",
    "payments.return": "moves a part of a payment back",
    "resellers.adjustment": "adds one",
    "resellers.adjustment_undo": "deletes one that its summary names",
}
"""Kinds of operations without a value that they change, and why."""


def test_each_kind_of_operation_has_a_name_and_shows_its_changes() -> None:
    modules = modules_of(Settings.model_validate({}))
    operations = [operation for module in modules for operation in module.operations]
    assert {operation.kind for operation in operations} == set(OPERATIONS)
    assert {operation.kind for operation in operations if operation.changes is None} == set(ADDS_OR_MOVES)


def test_kinds_of_many_lines_show_them_to_their_checker() -> None:
    operations = [operation for module in modules_of(Settings.model_validate({})) for operation in module.operations]
    many = {operation.kind for operation in operations if "lines" in operation.order.model_fields}
    assert {operation.kind for operation in operations if operation.reader is not None} == many


def test_each_action_has_a_name_on_the_console() -> None:
    assert set(reference.actions()) == set(ACTIONS)
    assert all(named[0].isupper() and "_" not in named for named in ACTIONS.values())
    assert len(set(ACTIONS.values())) == len(ACTIONS), "two actions have different names"


def test_each_action_is_named_where_it_is_recorded() -> None:
    recorded = reference.recorded_actions()
    assert [action for action in reference.actions() if not recorded.get(action)] == []
    assert recorded["benefit_account_closed"] == {"benefits/lifecycle.py"}, "a choice of a constant"
    assert recorded["document_refused"] == {"documents/reviews.py"}, "a text with a part"
    assert recorded["transaction_refunded"] == {"benefits/at_once.py", "benefits/returns.py"}, "a variable"


def test_each_detail_of_the_audit_has_words() -> None:
    """The rows keep what calls name beside the actor, the subject and the second person."""
    recorders = re.compile(r"\b(audit\.record\w*|trail\.look|look_rows)$")
    written = {
        keyword.arg
        for path in SOURCE.rglob("*.py")
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call) and recorders.search(ast.unparse(call.func))
        for keyword in call.keywords
        if keyword.arg is not None
    }
    assert len(written) > 50
    assert written - {"actor", "subject", "subjects", "approved_by"} <= set(DETAILS)


def test_each_look_is_described_to_the_person_in_words() -> None:
    looks = {action for action, (kind, _) in reference.marked_actions().items() if kind == "look"}
    assert looks == set(LOOKS)
    assert all(told[0].isupper() and "_" not in told for told in LOOKS.values())
