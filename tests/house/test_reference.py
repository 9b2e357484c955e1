"""The pages of `docs/reference/` that are generated say what the code says, and roles bring what they tell."""

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from carteira.identity.roles import shipped
from carteira.integration.looks import LOOKS
from tools import reference


@pytest.mark.parametrize("name", reference.PAGES)
def test_the_page_is_what_the_code_says(name: str) -> None:
    written = (reference.FOLDER / f"{name}.md").read_text()
    assert written == reference.page(name), "run `make reference`"


async def test_claims_are_seeded_as_the_code_asks_for_them(tx: AsyncSession) -> None:
    """One that no migration seeds, or seeds by another way than `identity_seed_claim`, nobody could ever grant."""
    routes, verbs = reference.asked_for()
    seeded = await tx.scalars(text("SELECT description FROM claims WHERE built_in"))
    assert set(seeded) == {*routes, *verbs}
    assert list(await tx.scalars(text("SELECT description FROM claims WHERE NOT built_in"))) == []


async def test_roles_bring_the_claims_that_the_page_tells(tx: AsyncSession) -> None:
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


def test_roles_of_the_product_bring_claims_that_it_asks_for() -> None:
    routes, verbs = reference.asked_for()
    assert frozenset().union(*shipped.ROLES.values()) <= {*routes, *verbs}


def test_each_look_is_told_to_the_person_in_words() -> None:
    looks = {action for action, (kind, _) in reference.marked_actions().items() if kind == "look"}
    assert looks == set(LOOKS)
    assert all(told[0].isupper() and "_" not in told for told in LOOKS.values())
