"""Benefits: balances, the statement, and why the last purchase was declined, in plain Portuguese with the rule."""

from carteira import benefits
from carteira.assistant.flow import Done, Intent, Turn
from carteira.assistant.pages import PAGES
from carteira.kit.values.clock import SAO_PAULO
from carteira.kit.values.money import format_brl
from carteira.kit.web.pagination import PageRequest

_NONE = 'Não há conta de benefícios ligada ao seu cadastro. Se a sua empresa abriu uma, ligue-a em "Benefícios".'
_PAGE = PAGES["/app/beneficios"]
_LINES = 10
_LOOKED_AT = 20


async def _balances(turn: Turn) -> Done:
    accounts = await benefits.accounts_of_person(turn.tx, turn.person.user_id)
    if not accounts:
        return Done(_NONE, page=_PAGE)
    parts = []
    for account in accounts:
        balances = await benefits.balances(turn.tx, account.id)
        lines = [f"{benefits.name_category(name)}: {format_brl(amount)}" for name, amount in balances.items()]
        parts.append(f"Conta {account.reference}\n" + "\n".join(lines))
    return Done("\n\n".join(parts), page=_PAGE)


async def _statement(turn: Turn) -> Done:
    accounts = await benefits.accounts_of_person(turn.tx, turn.person.user_id)
    if not accounts:
        return Done(_NONE, page=_PAGE)
    parts = []
    for account in accounts:
        lines = (await benefits.statement(turn.tx, account.id, PageRequest(_LINES), turn.person)).items
        written = [
            f"{line.posted_at.astimezone(SAO_PAULO):%d/%m %H:%M} {benefits.name_category(line.category)} "
            f"{'+' if line.amount > 0 else '-'}{format_brl(abs(line.amount))} {_squeezed(line.description)}".rstrip()
            for line in lines
        ]
        parts.append(f"Conta {account.reference}\n" + ("\n".join(written) or "Nenhum movimento ainda."))
    return Done("\n\n".join(parts), page=PAGES["/app/extrato"])


def _squeezed(text: str | None) -> str:
    return " ".join((text or "").split())


async def _declined(turn: Turn) -> Done:
    if not await benefits.accounts_of_person(turn.tx, turn.person.user_id):
        return Done(_NONE, page=_PAGE)
    found = (
        await benefits.transactions(turn.tx, turn.person, benefits.TransactionFilter(), PageRequest(_LOOKED_AT))
    ).items
    last = next((item for item in found if item.code != "00"), None)
    if last is None:
        return Done("Não há compra recusada entre as suas últimas compras com benefícios.")
    when = f"{last.created_at.astimezone(SAO_PAULO):%d/%m/%Y às %H:%M}"
    where = f" em {benefits.merchant_name(last.merchant)}" if last.merchant else ""
    return Done(f"Sua última compra recusada foi{where}, {when}. {last.explanation}", page=_PAGE)


BALANCE = Intent("benefit_balance", "Saldo dos benefícios", _balances, module="benefits")
STATEMENT = Intent("benefit_statement", "Extrato dos benefícios", _statement, module="benefits")
DECLINED = Intent("declined", "Por que minha compra foi recusada", _declined, module="benefits")
