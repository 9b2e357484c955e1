"""Payments in the ledger: system accounts, and kinds of entries."""

from carteira import ledger

PROVIDER = ledger.system_account("payments.provider")
"""The account at the provider: minus its balance is the money there."""
TO_RETURN = ledger.system_account("payments.to_return")
"""Uncredited payments: its balance is owed to the payers."""
RETURNING = ledger.system_account("payments.returning")
"""Returns that were requested from the provider and not confirmed yet."""
LOST = ledger.system_account("payments.lost")
"""Spent money that was returned at the provider: minus its balance is the loss."""

UNPLACED = "payments.unplaced"
"""An uncredited payment: provider → to return."""
RETURN_ASKED = "payments.return_asked"
"""To return → returning."""
RETURNED = "payments.returned"
"""Returning → provider."""
RETURN_FAILED = "payments.return_failed"
"""Returning → to return: the provider did not carry it out."""
TAKEN_BACK = "payments.taken_back"
"""To return → provider: it was returned there without a request from here."""
LOSS = "payments.lost"
"""Lost → provider: it was returned there after it had been spent here."""
KINDS = (UNPLACED, RETURN_ASKED, RETURNED, RETURN_FAILED, TAKEN_BACK, LOSS)
