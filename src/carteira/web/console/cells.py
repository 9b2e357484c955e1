"""What stands in a table: a text, an amount, an instant, a badge; drawn on a page, and written into a CSV."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal
from uuid import UUID

from carteira.kit.values.clock import clock
from carteira.kit.values.csv_sheet import plain_cell
from carteira.web.formats import in_sao_paulo, number, plain_money

Kind = Literal["text", "mono", "money", "instant", "badge", "code"]
Tone = Literal["", "ok", "warn", "bad", "info"]


@dataclass(frozen=True, slots=True)
class Cell:
    """One field of a row."""

    text: str = ""
    kind: Kind = "text"
    tone: Tone = ""
    icon: str = ""
    detail: str = ""
    """A second line, smaller."""
    value: str = ""
    """What machines read: centavos, an instant."""
    href: str = ""

    @property
    def plain(self) -> str:
        """What a spreadsheet is given."""
        if self.kind in {"money", "instant"}:
            return self.value
        return plain_cell(" ".join(filter(None, (self.text, self.detail))))


NOTHING = Cell()


def words(text: str | None, detail: str = "", href: str = "") -> Cell:
    """Give a text, with a line below it."""
    return Cell(text or "", detail=detail, href=href)


def mono(text: str | None, href: str = "") -> Cell:
    """Give what is copied rather than read: a reference, a number of a document."""
    return Cell(text or "", "mono", href=href)


def short_id(some_id: UUID | None, href: str = "") -> Cell:
    """Give an id by its first and last figures."""
    return NOTHING if some_id is None else Cell(f"{str(some_id)[:8]}…{str(some_id)[-4:]}", "mono", href=href)


def amount(centavos: int | None) -> Cell:
    """Give an amount of money."""
    if centavos is None:
        return NOTHING
    sign = "-" if centavos < 0 else ""
    return Cell(plain_money(centavos), "money", value=sign + number(centavos).replace(".", ""))


def count(number_of: int) -> Cell:
    """Give a number of things."""
    return Cell(f"{number_of:,}".replace(",", "."))


def instant(at: datetime | None) -> Cell:
    """Give an instant to the second, in São Paulo's time."""
    if at is None:
        return NOTHING
    local = in_sao_paulo(at)
    shown = f"{local:%H:%M:%S}"
    if local.date() != clock.today():
        year = "" if local.year == clock.today().year else f"/{local:%Y}"
        shown = f"{local:%d/%m}{year} {local:%H:%M}"
    return Cell(shown, "instant", value=f"{local:%Y-%m-%d %H:%M:%S}")


def day(some_day: date | None) -> Cell:
    """Give a day."""
    return NOTHING if some_day is None else Cell(f"{some_day:%d/%m/%Y}", value=some_day.isoformat())


def badge(text: str, tone: Tone = "", icon: str = "") -> Cell:
    """Give a state: a word in its colour."""
    return Cell(text, "badge", tone, icon)


def answer_code(code: str, detail: str = "") -> Cell:
    """Give an answer of the authorizer, with its reason in words."""
    return Cell(code, "code", detail=detail)
