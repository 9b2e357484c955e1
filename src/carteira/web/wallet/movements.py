"""Movements: one list of a person's money in all products, with declined purchases."""

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from itertools import groupby
from uuid import UUID

from carteira import benefits, ledger
from carteira.kit.values.clock import business_day
from carteira.web.formats import plain_money
from carteira.web.wallet.pockets import Pocket, pocket_of

_TITLES = {
    "benefits.credit": "Crédito do benefício",
    "benefits.purchase": "Compra",
    "benefits.refund": "Reembolso",
    "benefits.reversal": "Estorno",
    "transit.recharge": "Recarga",
    "transit.cash_recharge": "Recarga em dinheiro",
    "transit.debit": "Viagem",
    "transit.tap": "Viagem",
    "transit.debt_payment": "Viagem que faltava pagar",
    "transit.transfer": "Saldo entre cartões",
    "resellers.cashback": "Cashback do mês",
    "resellers.cashback_adjustment": "Ajuste de cashback",
    "resellers.cashback_spend": "Cashback usado numa compra",
}


@dataclass(frozen=True, slots=True)
class Why:
    """The reason for declining a purchase; amounts in centavos."""

    lead: str
    had: int | None
    asked: int
    rest: str


@dataclass(frozen=True, slots=True)
class MoneyMovement:
    """One line: a signed `amount`, or a declined purchase (`why`)."""

    id: UUID
    at: datetime
    title: str
    pocket: Pocket | None
    amount: int
    balance_after: int | None = None
    why: Why | None = None

    @property
    def day(self) -> date:
        """Its day in São Paulo."""
        return business_day(self.at)

    @property
    def anchor(self) -> str:
        """Its anchor on the page."""
        return f"m-{self.id}" + (f"-{self.pocket.key}" if self.pocket else "")


@dataclass(frozen=True, slots=True)
class Day:
    """A day's movements and their total."""

    day: date
    movements: list[MoneyMovement]

    @property
    def total(self) -> int:
        """The day's sum in centavos, if all is of one pocket; pockets are never added up."""
        moved = [movement for movement in self.movements if movement.why is None]
        return sum(movement.amount for movement in moved) if len({movement.pocket for movement in moved}) == 1 else 0


def folded(text: str) -> str:
    """Return a text for searching: without accents and case."""
    apart = unicodedata.normalize("NFKD", text.casefold())
    return "".join(sign for sign in apart if not unicodedata.combining(sign))


def of_lines(
    lines: Iterable[ledger.StatementLine],
    kinds: Mapping[UUID, str],
    decisions: Mapping[UUID, benefits.OwnDecision],
) -> list[MoneyMovement]:
    """Return movements of ledger lines; `kinds` has each account's kind of money."""
    made = []
    for line in lines:
        decision = decisions.get(line.entry_id)
        title = (decision and decision.merchant) or line.description or _TITLES.get(line.kind) or "Estorno"
        made.append(
            MoneyMovement(
                line.entry_id,
                line.posted_at,
                title if decision is None else benefits.merchant_name(title),
                pocket_of(kinds[line.account_id]),
                line.amount,
                line.balance_after,
            )
        )
    return made


def of_refusals(decisions: Iterable[benefits.OwnDecision]) -> list[MoneyMovement]:
    """Return movements of declined purchases."""
    return [
        MoneyMovement(
            decision.id,
            decision.created_at,
            benefits.merchant_name(decision.merchant or "Compra"),
            pocket_of(f"benefits.{decision.category_tried}") if decision.category_tried else None,
            decision.amount or 0,
            why=_why(decision),
        )
        for decision in decisions
        if not decision.approved
    ]


def _why(decision: benefits.OwnDecision) -> Why:
    asked = decision.amount or 0
    if not decision.lacked or decision.category_tried is None:
        lead = "Não passou por um problema no pedido da maquininha ou nosso, não seu."
        return Why(lead, None, asked, "Nada foi cobrado. Tente de novo; se repetir, mande o código ao atendimento.")
    pocket = pocket_of(f"benefits.{decision.category_tried}").name
    short = decision.short_by or 0
    lead = f"Faltaram {plain_money(short)} no saldo de {pocket}."
    if decision.category_tried == "CASH":
        lead = f"Faltaram {plain_money(short)} no saldo Livre."
        rest = "Nada foi cobrado."
    elif decision.fallback:
        rest = "O saldo Livre também não cobria, e uma compra nunca é dividida entre dois saldos. Nada foi cobrado."
    else:
        rest = (
            "Esta maquininha pediu para não usar o saldo Livre, e uma compra nunca é dividida entre dois saldos. "
            "Nada foi cobrado."
        )
    return Why(lead, max(0, asked - short), asked, rest)


def newest_first(movements: Iterable[MoneyMovement]) -> list[MoneyMovement]:
    """Sort movements of several sources, newest first."""
    return sorted(movements, key=lambda movement: (movement.at, movement.id), reverse=True)


def by_day(movements: Iterable[MoneyMovement]) -> list[Day]:
    """Group sorted movements by day."""
    return [Day(day, list(found)) for day, found in groupby(movements, key=lambda movement: movement.day)]
