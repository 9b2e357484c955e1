"""Each way in which an operator moves money, as an attempt to move so many centavos to somebody."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import httpx
from sqlalchemy import text

from carteira import ledger, transit
from carteira.benefits import accounts
from carteira.benefits.schemas import AccountIn
from carteira.kit.db.session import Tx
from carteira.kit.security.approvals import Act
from tests.support.app import RunningApp
from tests.support.benefits import AUTHORIZER, processor_headers, purchase
from tests.support.ledger import TESTER
from tests.support.people import Person, new_cpf, register

LIMIT, DAILY = 10_000, 100_000


@dataclass
class Attempt:
    """A request that would move money to somebody, and the amount that has moved so far."""

    path: str
    body: object
    moved: Callable[[], Awaitable[int]]
    spoil: Callable[[], Awaitable[None]]
    """Makes it impossible before the checker approves it."""


@dataclass
class World:
    """An application with limits, and attempts of each kind."""

    app: RunningApp

    def maker(self) -> Person:
        """Return a new operator who holds every claim but approval."""
        return self.app.person("benefits:read", "benefits:write", "ledger:write", "transit:recharge")

    def checker(self) -> Person:
        """Return a new operator who may approve, and holds every other claim, too."""
        return self.app.operator()

    async def gainer(self) -> Person:
        """Return a registered person, with user and CPF, who may approve as well."""
        person = await register(self.app)
        person.headers = self.app.bearer("money:approve", user_id=person.id)
        return person

    async def pending(self, who: Person, operation: str) -> dict[str, Any]:
        """Return an operation as its maker sees it."""
        answer = await who.get(f"/pending/{operation}")
        assert answer.status_code == 200, answer.text
        seen: dict[str, Any] = answer.json()
        return seen

    async def balance(self, account: str) -> int:
        """Return an account's total balance."""
        async with self.app.database.transaction() as tx:
            holder = await tx.scalar(text("SELECT id FROM benefits_accounts WHERE reference = :r"), {"r": account})
            return 0 if holder is None else sum((await accounts.balances(tx, holder)).values())

    async def open(self, gains: dict[str, str], balance: int = 0) -> str:
        """Open an account without the limits."""
        reference = f"f-{uuid4()}"
        async with self.app.database.transaction() as tx:
            body = AccountIn.model_validate({"account": reference, "balances": {"CASH": balance}} | gains)
            await accounts.open_account(tx, body, Act(TESTER))
        return reference

    async def buy(self, account: str, amount: int) -> str:
        """Pay for a purchase from an account; return the transaction's id."""
        answer = await self.app.client.post(
            AUTHORIZER, content=purchase(account, f"{amount // 100}.{amount % 100:02}"), headers=processor_headers()
        )
        assert answer.json() == {"code": "00"}
        (bought,) = (await self.maker().get("/transactions", account=account)).json()["items"]
        return str(bought["id"])

    async def run(self, statement: str, **values: object) -> None:
        """Run a statement that commits."""
        async with self.app.database.transaction() as tx:
            await tx.execute(text(statement), values)


Gains = dict[str, str]
Kind = Callable[[World, int, Gains], Awaitable[Attempt]]


async def _change_reference(world: World, account: str) -> None:
    await world.run("UPDATE benefits_accounts SET reference = :new WHERE reference = :r", new=f"{account}-x", r=account)


async def credit(world: World, amount: int, gains: Gains) -> Attempt:
    account = await world.open(gains)
    return Attempt(
        f"/benefits/accounts/{account}/credits",
        {"category": "CASH", "amount": amount, "description": "Mês"},
        lambda: world.balance(account),
        lambda: _change_reference(world, account),
    )


async def credit_many(world: World, amount: int, gains: Gains) -> Attempt:
    """A file of ten lines, each far below the limit."""
    account = await world.open(gains)
    part, rest = divmod(amount, 10)
    parts = [part + rest, *[part] * 9] if part else [amount]
    lines = [{"account": account, "category": "FOOD", "amount": part} for part in parts]
    return Attempt(
        "/benefits/credits?atomic=true",
        lines,
        lambda: world.balance(account),
        lambda: _change_reference(world, account),
    )


async def open_account(world: World, amount: int, gains: Gains) -> Attempt:
    account = f"f-{uuid4()}"
    body = {"account": account, "balances": {"FOOD": amount // 2, "CASH": amount - amount // 2}} | gains

    async def spoil() -> None:
        async with world.app.database.transaction() as tx:
            await accounts.open_account(tx, AccountIn(account=account, cpf=new_cpf()), Act(TESTER))

    return Attempt("/benefits/accounts", body, lambda: world.balance(account), spoil)


async def _of_purchase(world: World, amount: int, gains: Gains, path: str, body: object) -> Attempt:
    account = await world.open(gains, balance=amount)
    bought = await world.buy(account, amount)

    async def spoil() -> None:
        async with world.app.database.transaction() as tx:
            await _reverse_and_spend_again(tx, account, bought, amount)

    return Attempt(path.format(bought), body, lambda: world.balance(account), spoil)


async def _reverse_and_spend_again(tx: Tx, account: str, entry_id: str, amount: int) -> None:
    """Reverse the purchase beforehand, and spend the money that came back."""
    await ledger.reverse(tx, UUID(entry_id), actor=TESTER)
    holder = await accounts.find(tx, account)
    (cash,) = (view for view in await ledger.accounts_of_holder(tx, holder.id) if view.kind.endswith("CASH"))
    shop = ledger.system_account("benefits.settlement")
    await ledger.post(tx, ledger.transfer("tests.spent", source=cash.id, target=shop, amount=amount), actor=TESTER)


async def refund(world: World, amount: int, gains: Gains) -> Attempt:
    return await _of_purchase(world, amount, gains, "/transactions/{}/refund", {"amount": amount})


async def refund_rest(world: World, amount: int, gains: Gains) -> Attempt:
    return await _of_purchase(world, amount, gains, "/transactions/{}/refund", None)


async def reversal(world: World, amount: int, gains: Gains) -> Attempt:
    return await _of_purchase(world, amount, gains, "/transactions/{}/reversal", None)


async def correction(world: World, amount: int, gains: Gains) -> Attempt:
    return await _of_purchase(world, amount, gains, "/ledger/entries/{}/reversal", {"description": "Engano"})


async def cash_recharge(world: World, amount: int, gains: Gains) -> Attempt:
    """Recharge a user's card, or that of the user of a CPF."""
    async with world.app.database.transaction() as tx:
        named = {"id": gains.get("user_id"), "cpf": gains.get("cpf")}
        query = text("SELECT id FROM users WHERE id = CAST(:id AS uuid) OR cpf = :cpf")
        card = (await transit.issue(tx, await tx.scalar(query, named) or uuid4())).card_number

    async def moved() -> int:
        async with world.app.database.transaction() as tx:
            query = text(
                "SELECT balance FROM ledger_accounts a JOIN transport_cards c ON c.account_id = a.id"
                " WHERE card_number = :n"
            )
            return int(await tx.scalar(query, {"n": card}))

    async def spoil() -> None:
        await world.run("UPDATE transport_cards SET status = 'blocked' WHERE card_number = :n", n=card)

    return Attempt(f"/transit/cards/{card}/recharge", {"amount": amount}, moved, spoil)


KINDS: dict[str, Kind] = {
    kind.__name__: kind
    for kind in (credit, credit_many, open_account, refund, refund_rest, reversal, correction, cash_recharge)
}


async def propose(maker: Person, attempt: Attempt, **headers: str) -> str:
    """Propose what is above the limit; return the id of the pending operation."""
    answer = await maker.call("POST", attempt.path, json=attempt.body, headers=headers)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["pending"]["id"])


async def approve(who: Person, operation: str) -> httpx.Response:
    return await who.post(f"/pending/{operation}/approve")
