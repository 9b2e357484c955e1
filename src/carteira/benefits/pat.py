"""The rules of the Programa de Alimentação do Trabalhador (PAT), with the article that each comes from.

They apply to categories with regime `pat` (FOOD and MEAL always), even if an employer is not enrolled: Lei 14.442/2022,
art. 2, limits food allowances to food. Decreto 12.712/2025 adds rules for fees, settlement and open networks, which
concern the arrangement with shops and lie outside of this product.
"""

from enum import StrEnum
from typing import Final

from carteira.benefits.authorizer.rules import CASH

PAT: Final = "pat"
FREE: Final = "free"
FIXED_REGIMES: Final = {"FOOD": PAT, "MEAL": PAT, CASH: FREE}
"""Fixed by law for the first two, by contract for the last."""


class PatRule(StrEnum):
    """A rule and its source; `tests/benefits/test_pat.py` has a test for each."""

    FOOD_ONLY = "Lei 6.321/1976, art. 1; Lei 14.442/2022, art. 2; Decreto 10.854/2021, art. 174, I, b"
    """Money is spent on food or meals only, and categories are kept apart."""
    NO_WITHDRAWAL = "Decreto 10.854/2021, art. 174, II, a"
    NO_TRANSFER = "Decreto 10.854/2021, art. 174, II, b"
    NO_CASHBACK = "Decreto 10.854/2021, art. 175-A (Decreto 11.678/2023)"
    AFTER_DISMISSAL = "Decreto 10.854/2021, art. 174, III"
    """Credited money may be spent whole after the employment has ended."""


BLOCK_REASONS: Final = frozenset({"lost_or_stolen", "suspected_fraud", "holder_asked", "court_order"})
"""The reasons for blocking an account. The end of an employment is not one of them (`AFTER_DISMISSAL`)."""


def may_close(balance: int) -> bool:
    """Return whether an account with a balance, in centavos, may be closed: money left is the worker's."""
    return balance == 0
