"""How benefits' money stands in the ledger: kinds of accounts and entries, and the operator's own accounts."""

from uuid import UUID

from carteira import ledger

SETTLEMENT = ledger.system_account("benefits.settlement")
"""What merchants are owed."""
PURCHASE = "benefits.purchase"
"""The kind of entry that an approved decision posts, under its own id."""
LEDGER_KIND = "benefits."
"""Prefix of the kinds of ledger accounts; the category's name follows."""
FUNDING = ledger.system_account("benefits.funding")
"""Where top-ups come from: what employers paid in."""


def credit_entry(
    account_id: UUID, amount: int, description: str | None, *, entry_id: UUID | None = None, key: str | None = None
) -> ledger.NewEntry:
    """Return the entry of a top-up: `amount` centavos from what employers paid in to a category's account."""
    return ledger.transfer(
        "benefits.credit",
        source=FUNDING,
        target=account_id,
        amount=amount,
        description=description,
        key=key,
        entry_id=entry_id,
    )
