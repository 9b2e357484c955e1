"""Demo data of benefits: two accounts with money, and the four merchants of the specification."""

from uuid import UUID

from carteira.benefits import accounts, catalog
from carteira.benefits.errors import BenefitAccountNotFound
from carteira.benefits.schemas import AccountIn
from carteira.kit.db.session import Tx
from carteira.kit.security.approvals import Act
from carteira.kit.values.actor import Actor

MERCHANTS = {
    "UBER TRIP                   SAO PAULO BR": "4121",
    "UBER EATS                   SAO PAULO BR": "5812",
    "PAG*JoseDaSilva          RIO DE JANEI BR": "5811",
    "PICPAY*BILHETEUNICO           GOIANIA BR": "4111",
}
ACCOUNTS = ("123", "456")
BALANCES = {"FOOD": 50_000, "MEAL": 40_000, "CASH": 100_000}


async def seed(tx: Tx, person_id: UUID) -> None:
    """Open the demo accounts for a person, where they are not there yet. Amounts are centavos."""
    for name, mcc in MERCHANTS.items():
        await catalog.put_merchant(tx, name, mcc)
    for reference in ACCOUNTS:
        try:
            await accounts.find(tx, reference)
        except BenefitAccountNotFound:
            body = AccountIn(account=reference, user_id=person_id, balances=BALANCES)
            await accounts.open_account(tx, body, Act(Actor("command", "seed")))
