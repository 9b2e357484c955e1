"""The building blocks of intents: steps, each with its question, and their outcomes. `conversation` runs them."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import UUID

from carteira import documents, payments
from carteira.assistant.answers import choice, chosen_answer, named
from carteira.assistant.pages import PageLink
from carteira.assistant.text import plain, unnumbered
from carteira.kit.db.session import Tx
from carteira.kit.web.access import Principal

Data = Mapping[str, Any]
"""An intent's data between messages: JSON, deleted when the intent ends."""


UNSURE = "Antes de fazer isso, preciso de uma resposta que diga só sim ou só não."
"""The reply to an answer that is neither a plain yes nor a no."""


@dataclass(frozen=True, slots=True)
class UploadRequest:
    """The route to which the client uploads a file before it continues."""

    method: str
    path: str
    document_id: UUID


@dataclass(frozen=True, slots=True)
class Say:
    """A question to the person, and answers to choose from."""

    message: str
    options: Sequence[str] | None = None
    upload: UploadRequest | None = None


@dataclass(frozen=True, slots=True)
class Go:
    """Continue with a step and the present data."""

    step: str
    data: Data = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Again:
    """The same step again: the answer was not understood or not right."""

    message: str


@dataclass(frozen=True, slots=True)
class Done:
    """The intent has ended. `options` offer the person other acts; `page` is where they see or do more."""

    message: str
    options: Sequence[str] | None = None
    page: PageLink | None = None


@dataclass(frozen=True, slots=True)
class Stay:
    """A reply; the step handles the next message too."""

    message: str
    options: Sequence[str] | None = None
    data: Data = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Become:
    """Continue with another intent and the data about it."""

    intent: str
    data: Data = field(default_factory=dict)


Outcome = Go | Again | Done | Stay | Become


@dataclass(frozen=True, slots=True)
class Turn:
    """A message, its sender, and the intent's data."""

    tx: Tx
    person: Principal
    """The person with claims to their own things only, so that operators see no more here than anybody."""
    text: str
    data: Data
    understand: "Understand"
    file_id: UUID | None = None
    ring: documents.MasterKeyRing | None = None
    free_recharges: bool = True
    """Whether a transport card is recharged without a payment."""
    paid_by: payments.Payments | None = None
    """The payments module; None: recharges cannot be paid here."""

    @property
    def plain(self) -> str:
        """The message, normalised for comparison."""
        return plain(unnumbered(self.text))

    def chosen(self, options: Sequence[str]) -> int | None:
        """Return the index of the option that the message names, by its number or its words."""
        place = choice(self.text, len(options))
        return named(self.text, options) if place is None else place

    def agreed(self, options: Sequence[str]) -> bool | None:
        """Return whether the message is a yes, the first of two options ("Sim, cancelar"), or a no; None: neither."""
        return chosen_answer(self.text, act=options[0].rsplit(" ", 1)[-1])


@dataclass(frozen=True, slots=True)
class Meaning:
    """The meaning of a message. `name` is the intent to begin, or the topic to answer with."""

    kind: Literal["despair", "intent", "denied", "insult", "answer", "unknown"]
    name: str = ""
    slots: Mapping[str, Any] = field(default_factory=dict)
    nearest: Sequence[str] = ()
    """The titles of the questions nearest to an unknown one."""


@dataclass(frozen=True, slots=True)
class Understood:
    """The meaning of a message, and for an answered question the answer and its offer."""

    meaning: Meaning
    answer: str | None = None
    action: str | None = None
    page: PageLink | None = None


Understand = Callable[[Turn], Awaitable[Understood]]
"""Finds the answer to a question."""


@dataclass(frozen=True, slots=True)
class Step:
    """A step: its question, its handling of the answer, and its clean-up when the person goes back or leaves."""

    ask: Callable[[Turn], Awaitable[Say]]
    handle: Callable[[Turn], Awaitable[Outcome]]
    undo: Callable[[Turn], Awaitable[None]] | None = None


@dataclass(frozen=True, slots=True)
class Intent:
    """A task of the assistant, from `begin` through its steps. `number` is its place in the menu."""

    name: str
    title: str
    begin: Callable[[Turn], Awaitable[Outcome]]
    steps: Mapping[str, Step] = field(default_factory=dict)
    number: int | None = None
    module: str | None = None
    """The module that must be on."""


def numbered(options: Sequence[str]) -> list[str]:
    """Return numbered options, so that people may answer with the number."""
    return [f"{number}. {option}" for number, option in enumerate(options, 1)]
