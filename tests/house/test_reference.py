"""The pages of `docs/reference/` that are generated say what the code says, and roles bring what they tell."""

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from tools import reference


@pytest.mark.parametrize("name", reference.PAGES)
def test_the_page_is_what_the_code_says(name: str) -> None:
    written = (reference.FOLDER / f"{name}.md").read_text()
    assert written == reference.page(name), "run `make reference`"


async def test_roles_bring_the_claims_that_the_page_tells(tx: AsyncSession) -> None:
    rows = await tx.execute(
        text(
            "SELECT claims.description, array_agg(roles.description) FROM claims"
            " LEFT JOIN role_claims ON role_claims.claim_id = claims.id"
            " LEFT JOIN roles ON roles.id = role_claims.role_id GROUP BY claims.description"
        )
    )
    page = reference.page("claims")
    for claim, roles in rows:
        role = "–" if claim in reference.WITHOUT_ROLE else "administrador"
        assert roles == [None if role == "–" else role]
        assert f"| `{claim}` | {role} |" in page
