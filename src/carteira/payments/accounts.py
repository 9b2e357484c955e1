"""How payments stand in the ledger: the operator's accounts, and kinds of entries."""

from carteira import ledger

PROVIDER = ledger.system_account("payments.provider")
"""The account at the provider: minus its balance is what lies there."""
TO_RETURN = ledger.system_account("payments.to_return")
"""What came in and belongs nowhere: its balance is owed to who paid."""
RETURNING = ledger.system_account("payments.returning")
"""What the provider was asked to return, and has not said that it did."""
LOST = ledger.system_account("payments.lost")
"""What the provider took back of payments that had been spent by then: minus its balance is the loss."""

UNPLACED = "payments.unplaced"
"""A payment that belongs nowhere: provider → to return."""
RETURN_ASKED = "payments.return_asked"
"""To return → returning."""
RETURNED = "payments.returned"
"""Returning → provider."""
RETURN_FAILED = "payments.return_failed"
"""Returning → to return: the provider did not do it."""
TAKEN_BACK = "payments.taken_back"
"""To return → provider: it was returned there, and nobody here asked for it."""
LOSS = "payments.lost"
"""Lost → provider: it was returned there, and is not here any more."""
KINDS = (UNPLACED, RETURN_ASKED, RETURNED, RETURN_FAILED, TAKEN_BACK, LOSS)
