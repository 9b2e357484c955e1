"""Demo data of benefits: two employers, an account with money at each, and the four merchants of the specification."""

from uuid import UUID

from carteira.benefits import accounts, catalog, employers
from carteira.benefits.errors import BenefitAccountNotFound
from carteira.benefits.models import FIRST_EMPLOYER
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
SECOND_EMPLOYER = UUID("01980000-0000-7000-8000-0000000000e2")
EMPLOYERS = {
    FIRST_EMPLOYER: ("11222333000181", "Padaria Central Ltda."),
    SECOND_EMPLOYER: ("12ABC34501DE35", "Mercado da Vila Ltda."),
}
ACCOUNTS = {"123": FIRST_EMPLOYER, "456": SECOND_EMPLOYER}
BALANCES = {"FOOD": 50_000, "MEAL": 40_000, "CASH": 100_000}


async def seed(tx: Tx, person_id: UUID) -> None:
    """Open the demo accounts of a person at two employers, if they do not exist. Amounts are centavos."""
    ids = {wanted: await employers.seed(tx, wanted, cnpj=cnpj, name=name) for wanted, (cnpj, name) in EMPLOYERS.items()}
    for name, mcc in MERCHANTS.items():
        await catalog.put_merchant(tx, name, mcc)
    for reference, employer_id in ACCOUNTS.items():
        try:
            await accounts.find(tx, reference)
        except BenefitAccountNotFound:
            body = AccountIn(account=reference, user_id=person_id, balances=BALANCES, employer_id=ids[employer_id])
            await accounts.open_account(tx, body, Act(Actor("command", "seed")))


async def seed_operator(tx: Tx, person_id: UUID, *, bound_by: UUID) -> None:
    """Bind a demo operator of HR to the first demo employer, unless they were bound before or erased."""
    cnpj, name = EMPLOYERS[FIRST_EMPLOYER]
    employer_id = await employers.seed(tx, FIRST_EMPLOYER, cnpj=cnpj, name=name)
    await employers.seed_member(tx, employer_id, person_id, bound_by=bound_by)
