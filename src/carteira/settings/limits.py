"""The limits of operators as settings: what one does alone, at once and in a day."""

from typing import Annotated, Any, Literal

from pydantic import Field

Most = Annotated[int, Field(ge=0, le=10**15)] | Literal["none"] | None
"""A limit; `none` says that there is none, and production wants it said."""

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
"""What limits hold for what operators do, and the modules that they are of: `LIMIT_…` at once, `DAILY_…` in a day."""


def alone(what: str) -> Any:  # noqa: ANN401 - as pydantic's own `Field`
    """Make the setting of what an operator does alone, at once."""
    return Field(
        None,
        description=f"Most centavos of {what} by an operator alone; above, a second person approves. `none` is an "
        "answer, and production wants one.",
    )


def in_a_day(what: str) -> Any:  # noqa: ANN401 - as pydantic's own `Field`
    """Make the setting of what an operator does in a day."""
    return Field(
        None,
        description=f"Most centavos of {what} by an operator in a day of São Paulo. `none` is an answer, and "
        "production wants one.",
    )
