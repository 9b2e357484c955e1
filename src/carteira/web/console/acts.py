"""What an act will do, in words, before it is done; and the way back after it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from fastapi.responses import HTMLResponse

from carteira.kit.security import audit
from carteira.web.console.cells import NOTHING, Cell
from carteira.web.forms import EMPTY, Reading
from carteira.web.page import WebPage

TEMPLATE = "console/confirm.html"


@dataclass(frozen=True, slots=True)
class ActField:
    """What an act asks for besides: a reason, an amount, a choice."""

    name: str
    label: str
    kind: Literal["text", "long", "money", "choice", "several", "day", "check"] = "text"
    help: str = ""
    choices: tuple[tuple[str, str], ...] = ()
    required: bool = True
    value: str = ""
    chosen: tuple[str, ...] = ()
    """Which of several choices are marked."""


@dataclass(frozen=True, slots=True)
class Confirmation:
    """An act that waits for its last word.

    Attributes:
        title: The question, with the verb and the object.
        says: What it will do, a sentence each.
        way_back: How it is undone, or that it is not.
        button: The verb and the object.
        path: Where its form goes.
        back: Where one is who thinks better of it.
        danger: Whether it takes something away.
        facts: What it is about, by name and value.
        fields: What it asks for.
        hidden: What its form carries on; names may come several times.
    """

    title: str
    says: Sequence[str]
    way_back: str
    button: str
    path: str
    back: str
    danger: bool = False
    facts: Sequence[tuple[str, str]] = ()
    fields: Sequence[ActField] = ()
    hidden: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True, slots=True)
class DetailStep:
    """An act that a row's page leads to."""

    path: str
    label: str
    danger: bool = False


@dataclass(frozen=True, slots=True)
class Detail:
    """A row's page that needs no template of its own: what there is to know of it, and what may be done.

    Attributes:
        title: What it is called.
        home: The list that it stands in, and what that is called.
        facts: What is known of it, by name and value; an empty value is left out.
        steps: What may be done with it.
        state: How it stands, as a badge.
        note: A sentence below the facts.
    """

    title: str
    home: tuple[str, str]
    facts: Sequence[tuple[str, str]]
    steps: Sequence[DetailStep] = ()
    state: Cell = NOTHING
    note: str = ""


def show_detail(page: WebPage, detail: Detail) -> HTMLResponse:
    """Draw a row's page, or the panel of it that stands beside its list."""
    return page.show("console/detail.html", block="panel", detail=detail)


def show_once(page: WebPage, title: str, secret: str, back: str, *, says: str) -> HTMLResponse:
    """Draw a secret that was just made, which nobody is shown again."""
    return page.show("console/secret.html", title=title, secret=secret, back=back, says=says)


async def marked_in(page: WebPage, name: str) -> tuple[str, ...]:
    """Give what is marked of several choices of the form that came, each once."""
    sent = (await page.request.form()).getlist(name)
    return tuple(dict.fromkeys(text for text in sent if isinstance(text, str)))


def ask(page: WebPage, act: Confirmation, form: Reading[Any] = EMPTY, *, status: int = 200) -> HTMLResponse:
    """Draw an act, to be confirmed."""
    if page.request.method != "GET":
        audit.nothing_done()
    return page.show(TEMPLATE, act=act, form=form, status=status)


def ask_again(page: WebPage, act: Confirmation, form: Reading[Any], error: Exception | None = None) -> HTMLResponse:
    """Draw an act again, with what is wrong with its fields, or why its verb refused (one of `REFUSALS`).

    Raises:
        Problem: a recent sign-in, a second factor or another password is wanted first, or the session is over.
    """
    if error is None:
        return ask(page, act, form, status=422)
    return page.again(TEMPLATE, form, error, act=act)
