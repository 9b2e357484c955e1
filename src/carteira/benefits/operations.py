"""Operators' operations on benefits' money that may need a second person."""

from datetime import date
from typing import Any
from uuid import UUID

from pydantic import BaseModel, Field

from carteira.benefits import accounts, imports, order_lines, returns, scheduled, topups
from carteira.benefits.schemas import (
    AccountIn,
    BenefitAccountOut,
    CreditIn,
    CreditOut,
    ImportOut,
    ReturnOut,
    ScheduledOut,
)
from carteira.kit.db.session import Tx
from carteira.kit.security.approvals import Act
from carteira.kit.values.actor import Actor
from carteira.kit.values.cpf import mask_cpf
from carteira.kit.values.csv_lines import BulkLines, Wrong
from carteira.kit.web.approvals import LongOrder, Operation, OrderChange, OrderReader


class CreditOrder(CreditIn):
    """A top-up of one account."""

    account: str


class BulkCreditOrder(BaseModel):
    """A bulk top-up: its lines as sent, and for a file their numbers and cell errors."""

    lines: list[Any]
    atomic: bool
    numbers: list[int] | None = None
    wrong: dict[int, list[Wrong]] = Field(default_factory=dict)
    titles: dict[str, str] = Field(default_factory=dict)

    @property
    def sent(self) -> BulkLines:
        """The lines, as a verb takes them."""
        return BulkLines(self.lines, self.numbers, self.wrong, self.titles)

    @classmethod
    def of(cls, sent: BulkLines, *, atomic: bool) -> "BulkCreditOrder":
        """Return the order of a request's lines."""
        return cls(lines=sent.lines, atomic=atomic, numbers=sent.numbers, wrong=sent.wrong, titles=sent.titles)


class ScheduleOrder(BulkCreditOrder):
    """A scheduled bulk top-up."""

    day: date


class ImportOrder(BaseModel):
    """A file of accounts as sent."""

    lines: list[Any]
    numbers: list[int] | None = None
    wrong: dict[int, list[Wrong]] = Field(default_factory=dict)
    titles: dict[str, str] = Field(default_factory=dict)
    employer_id: UUID | None = None
    invite: bool = True

    @property
    def sent(self) -> BulkLines:
        """The lines, as a verb takes them."""
        return BulkLines(self.lines, self.numbers, self.wrong, self.titles)


class ReversalOrder(BaseModel):
    """The reversal of a purchase."""

    transaction_id: UUID


class RefundOrder(ReversalOrder):
    """The refund of a part of a purchase, or of the rest."""

    amount: int | None


async def _open_account(tx: Tx, order: AccountIn, act: Act) -> BenefitAccountOut:
    return await accounts.open_account(tx, order, act)


async def _credit(tx: Tx, order: CreditOrder, act: Act) -> CreditOut:
    return await topups.credit(tx, order.account, order, act)


async def _credit_changes(tx: Tx, order: CreditOrder) -> list[OrderChange]:
    account = await accounts.find(tx, order.account)
    now = (await accounts.balances(tx, account.id)).get(order.category, 0)
    return [OrderChange("balance", now, now + order.amount)]


async def _credit_many(tx: Tx, order: BulkCreditOrder, act: Act) -> bytes:
    return await (await topups.credit_many(tx, order.sent, act, atomic=order.atomic)).written()


async def _schedule(tx: Tx, order: ScheduleOrder, act: Act) -> ScheduledOut:
    return await scheduled.schedule(tx, order.sent, act, day=order.day, atomic=order.atomic)


async def _import(tx: Tx, order: ImportOrder, act: Act) -> ImportOut:
    return await imports.begin(tx, order.sent, act, employer_id=order.employer_id, invite=order.invite)


async def _read_credits(tx: Tx, order: BulkCreditOrder, maker: Actor) -> LongOrder:
    return await order_lines.credit_order(tx, order.sent, maker, atomic=order.atomic)


async def _read_schedule(tx: Tx, order: ScheduleOrder, maker: Actor) -> LongOrder:
    scheduled.require_day(order.day)
    return await order_lines.credit_order(tx, order.sent, maker, atomic=order.atomic, day=order.day)


async def _read_import(tx: Tx, order: ImportOrder, maker: Actor) -> LongOrder:
    return await order_lines.import_order(tx, order.sent, maker, order.employer_id)


def _how_many(order: ImportOrder) -> object:
    return {"lines": len(order.lines), "employer_id": order.employer_id, "invite": order.invite}


async def _reverse(tx: Tx, order: ReversalOrder, act: Act) -> ReturnOut:
    return await returns.reverse(tx, order.transaction_id, act)


async def _refund(tx: Tx, order: RefundOrder, act: Act) -> ReturnOut:
    return await returns.refund(tx, order.transaction_id, order.amount, act)


def _without_contact(order: AccountIn) -> object:
    shown = order.model_dump(mode="json", exclude={"contact"})
    return shown | {"cpf": order.cpf and mask_cpf(order.cpf)}


WRITES = "benefits:write"
OPEN_ACCOUNT = Operation(
    "benefits.open_account", AccountIn, _open_account, WRITES, limit="opening_balances", show=_without_contact
)
CREDIT = Operation("benefits.credit", CreditOrder, _credit, WRITES, limit="top_ups", changes=_credit_changes)
CREDIT_MANY = Operation(
    "benefits.credit_many",
    BulkCreditOrder,
    _credit_many,
    WRITES,
    limit="top_ups",
    reader=OrderReader(_read_credits, order_lines.credit_balances),
)
REVERSE = Operation("benefits.reversal", ReversalOrder, _reverse, WRITES, limit="reversals")
REFUND = Operation("benefits.refund", RefundOrder, _refund, WRITES, limit="refunds")
SCHEDULE = Operation(
    "benefits.schedule_credits",
    ScheduleOrder,
    _schedule,
    WRITES,
    limit="top_ups",
    reader=OrderReader(_read_schedule, order_lines.credit_balances),
)
IMPORT = Operation(
    "benefits.import_accounts",
    ImportOrder,
    _import,
    WRITES,
    limit="opening_balances",
    show=_how_many,
    reader=OrderReader(_read_import, order_lines.opening_balances),
)
OPERATIONS = (OPEN_ACCOUNT, IMPORT, CREDIT, CREDIT_MANY, SCHEDULE, REVERSE, REFUND)
