"""Confirmations: what an act will do, in words, and how it is undone."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, TypeVar

from fastapi.responses import HTMLResponse
from pydantic import Field

from carteira.kit.security import audit
from carteira.kit.web.preconditions import NEW, Precondition, RecordChanged
from carteira.web.console.cells import NOTHING, Cell
from carteira.web.forms import EMPTY, FormBody, Reading
from carteira.web.page import WebPage

TEMPLATE = "console/confirm.html"
SEEN = "visto"
"""The hidden field with the version of the subject that was shown."""
_UNSEEN = "O formulário chegou sem dizer o que você viu. Confira abaixo como está agora, e envie de novo."
M = TypeVar("M", bound=FormBody)


class VersionForm(FormBody):
    """An act's form, with the version of its subject that was shown; without one it is refused."""

    seen: Annotated[str, Field(alias=SEEN, min_length=1, max_length=64)]

    @property
    def known(self) -> Precondition:
        """The values that the operator saw, for the act's function."""
        return Precondition.of_form(self.seen)


def version_seen(version: str | None) -> tuple[tuple[str, str], ...]:
    """Return a confirmation's `seen` for a version; None: the subject does not exist yet."""
    return ((SEEN, version or NEW),)


def told_unseen(form: Reading[M]) -> Reading[M]:
    """Return a form, with its own message if it came without the shown version."""
    return form.saying(_UNSEEN) if SEEN in form.errors and not form.message else form


@dataclass(frozen=True, slots=True)
class ActField:
    """A field of an act's form: a reason, an amount, a choice."""

    name: str
    label: str
    kind: Literal["text", "long", "money", "choice", "several", "day", "check"] = "text"
    help: str = ""
    choices: tuple[tuple[str, str], ...] = ()
    required: bool = True
    value: str = ""
    chosen: tuple[str, ...] = ()
    """The marked ones of several choices."""


@dataclass(frozen=True, slots=True)
class Confirmation:
    """An act to be confirmed.

    Attributes:
        title: The question, with the verb and the object.
        says: Its effects, one sentence each.
        way_back: How it is undone, or that it cannot be.
        button: The button's label: the verb and the object.
        path: The form's target.
        back: The page to return to without doing it.
        danger: Whether it removes something.
        facts: Its subject, by name and value.
        fields: Its form's fields.
        hidden: Its hidden fields; names may repeat.
        seen: The facts of its subject that were shown, by name and value. A form that is drawn again keeps the facts
            that it was sent with. If they no longer hold, it cannot be sent again, and links back to the subject.
        changed: Whether the verb found another version than the one that was shown.
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
    seen: Sequence[tuple[str, str]] = ()
    changed: bool = False

    def is_over(self, form: Reading[Any]) -> bool:
        """Return whether the facts that a form was sent with no longer hold."""
        return self.changed or any(form.text(name, value) != value for name, value in self.seen)


@dataclass(frozen=True, slots=True)
class DetailStep:
    """A link from a row's page to an act."""

    path: str
    label: str
    danger: bool = False


@dataclass(frozen=True, slots=True)
class Detail:
    """A row's page without a template of its own: its facts and the possible acts.

    Attributes:
        title: Its title.
        home: Its list's address and title.
        facts: Its facts, by name and value; empty values are left out.
        steps: The possible acts.
        state: Its state, as a badge.
        note: A sentence below the facts.
    """

    title: str
    home: tuple[str, str]
    facts: Sequence[tuple[str, str]]
    steps: Sequence[DetailStep] = ()
    state: Cell = NOTHING
    note: str = ""


def show_detail(page: WebPage, detail: Detail) -> HTMLResponse:
    """Draw a row's page, or its panel beside the list."""
    return page.show("console/detail.html", block="panel", detail=detail)


def show_once(page: WebPage, title: str, secret: str, back: str, *, says: str) -> HTMLResponse:
    """Draw a new secret, which is shown only once."""
    return page.show("console/secret.html", title=title, secret=secret, back=back, says=says)


async def marked_in(page: WebPage, name: str) -> tuple[str, ...]:
    """Return the marked choices of a form, each once."""
    sent = (await page.request.form()).getlist(name)
    return tuple(dict.fromkeys(text for text in sent if isinstance(text, str)))


def ask(page: WebPage, act: Confirmation, form: Reading[Any] = EMPTY, *, status: int = 200) -> HTMLResponse:
    """Draw an act's confirmation."""
    if page.request.method != "GET":
        audit.nothing_done()
    return page.show(TEMPLATE, act=act, form=form, status=status)


def ask_again(page: WebPage, act: Confirmation, form: Reading[Any], error: Exception | None = None) -> HTMLResponse:
    """Draw an act's confirmation again, with its fields' errors or its verb's refusal (one of `REFUSALS`).

    Raises:
        Problem: a recent sign-in, a second factor or a new password is needed first, or the session has ended.
    """
    if error is None:
        return ask(page, act, told_unseen(form), status=422)
    if isinstance(error, RecordChanged):
        return ask(page, replace(act, changed=True), form, status=error.status)
    return page.again(TEMPLATE, form, error, act=act)
