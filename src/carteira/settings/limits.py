"""The limits of operators as settings: what one does alone, in one operation and in a day."""

from typing import Annotated, Any, Literal

from pydantic import Field

Most = Annotated[int, Field(ge=0, le=10**15)] | Literal["none"] | None
"""A limit; `none` means no limit, which production requires to be explicit."""

LIMITS = {
    "top_ups": "benefits",
    "opening_balances": "benefits",
    "refunds": "benefits",
    "reversals": "benefits",
    "corrections": "ledger",
    "purchase_approvals": "resellers",
    "tiers": "resellers",
    "cash_recharges": "transit",
    "payment_returns": "payments",
}
"""The limits on what operators do, with their modules: `LIMIT_…` for one operation, `DAILY_…` for a day."""


def single_limit(what: str) -> Any:  # noqa: ANN401 - as pydantic's own `Field`
    """Return the setting of what an operator does alone in one operation."""
    return Field(
        None,
        description=f"Largest amount, in centavos, of {what} by an operator alone; above, a second person "
        "approves. Production requires a number or `none`.",
    )


def in_a_day(what: str) -> Any:  # noqa: ANN401 - as pydantic's own `Field`
    """Return the setting of what an operator does in a day."""
    return Field(
        None,
        description=f"Largest sum, in centavos, of {what} by an operator in a day of São Paulo. Production "
        "requires a number or `none`.",
    )
