"""How intents are written: steps that ask and take, and what they may answer with. The engine is `conversation`."""

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
"""What an intent remembers between messages; JSON, and gone when the intent ends."""


UNSURE = "Antes de fazer isso, preciso de uma resposta que diga só sim ou só não."
"""What is said to an answer that is neither a plain yes nor a no."""


@dataclass(frozen=True, slots=True)
class UploadRequest:
    """Where the client sends a file to before it goes on."""

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
    """On to a step, with what is known by now."""

    step: str
    data: Data = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Again:
    """The same step again: the answer was not understood or not right."""

    message: str


@dataclass(frozen=True, slots=True)
class Done:
    """The intent is at its end. With options, the person is offered to go on; `page` is where they see or do more."""

    message: str
    options: Sequence[str] | None = None
    page: PageLink | None = None


@dataclass(frozen=True, slots=True)
class Stay:
    """Answered, and the step goes on taking messages."""

    message: str
    options: Sequence[str] | None = None
    data: Data = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Become:
    """Another intent begins, with what was said about it."""

    intent: str
    data: Data = field(default_factory=dict)


Outcome = Go | Again | Done | Stay | Become


@dataclass(frozen=True, slots=True)
class Turn:
    """A message, who sent it, and what the intent knows."""

    tx: Tx
    person: Principal
    """The person with claims to their own things only: an operator sees no more here than anybody does."""
    text: str
    data: Data
    understand: "Understand"
    file_id: UUID | None = None
    ring: documents.MasterKeyRing | None = None
    free_recharges: bool = True
    """Whether a transport card is recharged without a payment."""
    paid_by: payments.Payments | None = None
    """What a recharge is paid by; None: by nothing here."""

    @property
    def plain(self) -> str:
        """The message as it is compared."""
        return plain(unnumbered(self.text))

    def chosen(self, options: Sequence[str]) -> int | None:
        """Read the message as one of the options, by its number or its words; give its place."""
        place = choice(self.text, len(options))
        return named(self.text, options) if place is None else place

    def agreed(self, options: Sequence[str]) -> bool | None:
        """Read the message as a yes, the first of two options ("Sim, cancelar"), or a no; None is neither."""
        return chosen_answer(self.text, act=options[0].rsplit(" ", 1)[-1])


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a message means. `name` is the intent to begin, or the topic to answer with."""

    kind: Literal["despair", "intent", "denied", "insult", "answer", "unknown"]
    name: str = ""
    slots: Mapping[str, Any] = field(default_factory=dict)
    nearest: Sequence[str] = ()
    """Titles of the questions that are nearest to what is unknown."""


@dataclass(frozen=True, slots=True)
class Understood:
    """What a message means, and where it is a question that is answered, the answer and what it offers."""

    meaning: Meaning
    answer: str | None = None
    action: str | None = None
    page: PageLink | None = None


Understand = Callable[[Turn], Awaitable[Understood]]
"""Finds the answer to a question."""


@dataclass(frozen=True, slots=True)
class Step:
    """A step: what it asks, what it makes of the answer, and what it undoes when the person turns back or leaves."""

    ask: Callable[[Turn], Awaitable[Say]]
    take: Callable[[Turn], Awaitable[Outcome]]
    undo: Callable[[Turn], Awaitable[None]] | None = None


@dataclass(frozen=True, slots=True)
class Intent:
    """Something that the assistant does, from `begin` through its steps. `number` is its place in the menu."""

    name: str
    title: str
    begin: Callable[[Turn], Awaitable[Outcome]]
    steps: Mapping[str, Step] = field(default_factory=dict)
    number: int | None = None
    module: str | None = None
    """The module that must be on."""


def numbered(options: Sequence[str]) -> list[str]:
    """Number options, so that people may answer with the number."""
    return [f"{number}. {option}" for number, option in enumerate(options, 1)]
