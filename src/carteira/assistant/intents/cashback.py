"""A reseller's cashback of a month: state, total, percentage and amount, as the month now stands."""

from datetime import timedelta

from babel.dates import format_date

from carteira import resellers
from carteira.assistant.flow import Done, Intent, Turn
from carteira.assistant.pages import PAGES
from carteira.kit.values.clock import SAO_PAULO, business_month, clock
from carteira.kit.values.money import format_brl
from carteira.kit.web.problems import Forbidden

_PAGE = PAGES["/app/vendas"]
_LAST = frozenset({"passado", "anterior", "ultimo"})
_NONE = "Você ainda não é revendedor, então não há cashback de compras para mostrar. Tornar-se um é rápido e na hora."


async def _begin(turn: Turn) -> Done:
    month = business_month(clock.now())
    if not _LAST.isdisjoint(turn.plain.split()):
        month = (month - timedelta(days=1)).replace(day=1)
    try:
        found = await resellers.own_month(turn.tx, turn.person, month)
    except Forbidden:
        return Done(_NONE, ("Como me torno revendedor?",), _PAGE)
    name = format_date(month, "MMMM 'de' y", locale="pt_BR")
    if found is None:
        return Done(f"Você não registrou compras em {name}: ainda não há cashback deste mês.")
    pending = f" ({format_brl(found.pending)} em validação)" if found.pending else ""
    lines = [
        f"Cashback de {name}: {format_brl(found.cashback_amount)}",
        f"Soma das compras: {format_brl(found.total)}{pending}",
        f"Percentual do mês: {found.cashback_percentage}%",
        "O mês está aberto: o valor muda com as suas compras, e é creditado quando ele fecha."
        if found.closed_at is None
        else f"O mês foi fechado em {found.closed_at.astimezone(SAO_PAULO):%d/%m/%Y}, e o cashback, creditado.",
    ]
    return Done("\n".join(lines), page=_PAGE)


INTENT = Intent("cashback_month", "Meu cashback do mês", _begin, module="resellers")
