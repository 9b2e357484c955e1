"""Cells of tables: a text, an amount, an instant, a badge; drawn on a page and written to CSV."""

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
    """The machine-readable value: centavos, an instant."""
    href: str = ""

    @property
    def plain(self) -> str:
        """The spreadsheet's value."""
        if self.kind in {"money", "instant"}:
            return self.value
        return plain_cell(" ".join(filter(None, (self.text, self.detail))))


NOTHING = Cell()


def words(text: str | None, detail: str = "", href: str = "") -> Cell:
    """Return a cell with a text and a second line."""
    return Cell(text or "", detail=detail, href=href)


def mono(text: str | None, href: str = "") -> Cell:
    """Return a cell with a text for copying: a reference, a document number."""
    return Cell(text or "", "mono", href=href)


def short_id(some_id: UUID | None, href: str = "") -> Cell:
    """Return a cell with an id's first and last characters."""
    return NOTHING if some_id is None else Cell(f"{str(some_id)[:8]}…{str(some_id)[-4:]}", "mono", href=href)


def amount(centavos: int | None) -> Cell:
    """Return a cell with an amount of money."""
    if centavos is None:
        return NOTHING
    sign = "-" if centavos < 0 else ""
    return Cell(plain_money(centavos), "money", value=sign + number(centavos).replace(".", ""))


def count(number_of: int) -> Cell:
    """Return a cell with a count."""
    return Cell(f"{number_of:,}".replace(",", "."))


def instant(at: datetime | None) -> Cell:
    """Return a cell with an instant to the second, in São Paulo's time."""
    if at is None:
        return NOTHING
    local = in_sao_paulo(at)
    shown = f"{local:%H:%M:%S}"
    if local.date() != clock.today():
        year = "" if local.year == clock.today().year else f"/{local:%Y}"
        shown = f"{local:%d/%m}{year} {local:%H:%M}"
    return Cell(shown, "instant", value=f"{local:%Y-%m-%d %H:%M:%S}")


def day(some_day: date | None) -> Cell:
    """Return a cell with a day."""
    return NOTHING if some_day is None else Cell(f"{some_day:%d/%m/%Y}", value=some_day.isoformat())


def badge(text: str, tone: Tone = "", icon: str = "") -> Cell:
    """Return a cell with a badge: a state's word in its colour."""
    return Cell(text, "badge", tone, icon)


def answer_code(code: str, detail: str = "") -> Cell:
    """Return a cell with the authorizer's answer and its reason in words."""
    return Cell(code, "code", detail=detail)
