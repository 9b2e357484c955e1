"""Amounts, days and names in words for people; instants in São Paulo's time."""

from datetime import date, datetime, time, timedelta
from typing import Annotated

from markupsafe import Markup
from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

from carteira.kit.values.clock import SAO_PAULO, business_day, clock
from carteira.kit.values.money import InvalidAmount, read_reais

_WEEKDAYS = (
    "segunda-feira",
    "terça-feira",
    "quarta-feira",
    "quinta-feira",
    "sexta-feira",
    "sábado",
    "domingo",
)
_MONTHS = (
    "janeiro",
    "fevereiro",
    "março",
    "abril",
    "maio",
    "junho",
    "julho",
    "agosto",
    "setembro",
    "outubro",
    "novembro",
    "dezembro",
)
_MORNING, _NOON, _EVENING = 5, 12, 18
_THOUSAND = 1000

REQUESTS = {
    "copy": "Cópia dos dados",
    "correction": "Correção de um dado",
    "erasure": "Exclusão dos dados",
    "other": "Outro direito",
}
"""The kinds of requests about people's data, in words."""


def number(centavos: int) -> str:
    """Return centavos without sign and currency: `1.234,56`."""
    whole, cents = divmod(abs(centavos), 100)
    return f"{whole:,}".replace(",", ".") + f",{cents:02d}"


def plain_money(centavos: int) -> str:
    """Return centavos for a sentence, with non-breaking spaces: `R$ 1.234,56`."""
    sign = "−\N{NO-BREAK SPACE}" if centavos < 0 else ""
    return f"{sign}R$\N{NO-BREAK SPACE}{number(centavos)}"


def money(centavos: int, kind: str = "", sign: str = "") -> Markup:
    """Return centavos as a page's figure, after `sign` (`− ` or `+ `)."""
    sign = sign or ("− " if centavos < 0 else "")
    classes = f"money {kind}".strip()
    return Markup('<data class="{}" value="{}">{}<span class="money__cur">R$</span> {}</data>').format(
        classes, centavos, sign, number(centavos)
    )


def _reais(text: str) -> int:
    try:
        return read_reais(text)
    except InvalidAmount as error:
        raise PydanticCustomError("invalid_amount", "{reason}", {"reason": str(error)}) from error


Reais = Annotated[str, AfterValidator(_reais)]
"""A form's amount in reais; its value is centavos, an `int`."""


def in_sao_paulo(instant: datetime) -> datetime:
    """Return an instant with São Paulo's clock."""
    return instant.astimezone(SAO_PAULO)


def hour(instant: datetime) -> str:
    """Return the time of day: `14h09`, `9h`."""
    local = in_sao_paulo(instant)
    return f"{local.hour}h{local.minute:02d}" if local.minute else f"{local.hour}h"


def _day_of_month(day: date) -> str:
    return "1º" if day.day == 1 else str(day.day)


def long_day(day: date) -> str:
    """Return a day: `25 de novembro`, with the year unless it is this one."""
    year = "" if day.year == clock.today().year else f" de {day.year}"
    return f"{_day_of_month(day)} de {_MONTHS[day.month - 1]}{year}"


def full_day(day: date) -> str:
    """Return a day with its weekday: `quarta-feira, 25 de novembro`."""
    return f"{_WEEKDAYS[day.weekday()]}, {long_day(day)}"


def relative_day(day: date) -> str:
    """Return a day relative to today: `hoje`, `ontem`, or in full."""
    today = clock.today()
    if day == today:
        return "hoje"
    return "ontem" if day == today - timedelta(days=1) else full_day(day)


def short_day(day: date) -> str:
    """Return a day in figures: `25/11/2026`."""
    return f"{day:%d/%m/%Y}"


def month_name(month: date) -> str:
    """Return a month: `novembro`, with the year unless it is this one."""
    name = _MONTHS[month.month - 1]
    return name if month.year == clock.today().year else f"{name} de {month.year}"


def short_month(month: date) -> str:
    """Return a month in three letters: `nov`."""
    return _MONTHS[month.month - 1][:3]


def begins(day: date) -> datetime:
    """Return a day's first instant in São Paulo."""
    return datetime.combine(day, time(), SAO_PAULO)


def moment(instant: datetime) -> str:
    """Return an instant: `hoje às 14h09`, `25 de novembro às 9h`."""
    day = business_day(instant)
    said = relative_day(day) if day >= clock.today() - timedelta(days=1) else long_day(day)
    return f"{said} às {hour(instant)}"


def greeting(instant: datetime) -> str:
    """Return the greeting for the hour in São Paulo."""
    now = in_sao_paulo(instant).hour
    if _MORNING <= now < _NOON:
        return "Bom dia"
    return "Boa tarde" if _NOON <= now < _EVENING else "Boa noite"


def first_name(full_name: str) -> str:
    """Return the name for a greeting."""
    return full_name.split(maxsplit=1)[0] if full_name.split() else ""


def initials(full_name: str) -> str:
    """Return the first letters of the first and the last name."""
    parts = full_name.split()
    if not parts:
        return "?"
    return (parts[0][0] + (parts[-1][0] if len(parts) > 1 else "")).upper()


def capital(text: str) -> str:
    """Return a text with its first letter capitalised and the others unchanged."""
    return text[:1].upper() + text[1:]


_BROWSERS = (
    ("Edg", "Edge"),
    ("OPR", "Opera"),
    ("SamsungBrowser", "Samsung Internet"),
    ("Firefox", "Firefox"),
    ("FxiOS", "Firefox"),
    ("CriOS", "Chrome"),
    ("Chrome", "Chrome"),
    ("Safari", "Safari"),
)
_SYSTEMS = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("Mac OS X", "Mac"),
    ("CrOS", "Chromebook"),
    ("Linux", "Linux"),
)
_DEVICE_LENGTH = 60


def device_name(agent: str) -> str:
    """Return a device's name for its person, from its User-Agent: `Chrome no Android`."""
    browser = next((name for sign, name in _BROWSERS if f"{sign}/" in agent), "")
    system = next((name for sign, name in _SYSTEMS if sign in agent), "")
    if browser and system:
        return f"{browser} no {system}"
    return browser or system or agent[:_DEVICE_LENGTH] or "Aparelho sem nome"


def file_size(size: int) -> str:
    """Return a file's size: `240 kB`, `2,4 MB`."""
    kilobytes = max(1, round(size / 1024))
    return f"{kilobytes} kB" if kilobytes < _THOUSAND else f"{size / 2**20:.1f}".replace(".", ",") + " MB"
