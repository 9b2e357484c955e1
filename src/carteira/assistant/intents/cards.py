"""Shared parts of the intents about transport cards."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from carteira import transit
from carteira.assistant.flow import Again, Done, Go, Outcome, Say, Step, Turn, numbered
from carteira.kit.values.money import format_brl

_FEWEST_DIGITS = 4
"""The fewest last digits that identify a card."""
STATUS = {"blocked": " (bloqueado)", "cancelled": " (cancelado)"}


def grouped(card_number: str) -> str:
    """Return a card's number as printed on the card."""
    return " ".join(card_number[start : start + 4] for start in range(0, len(card_number), 4))


def described(card: transit.Card) -> str:
    """Return a card's description with its state and balance."""
    return f"Cartão {grouped(card.card_number)}{STATUS.get(card.status, '')}: {format_brl(card.balance)}"


async def cards_of(turn: Turn, *statuses: str) -> Sequence[transit.Card]:
    """Return the person's cards in these states."""
    return [card for card in await transit.cards(turn.tx, turn.person.user_id) if card.status in statuses]


@dataclass(frozen=True, slots=True)
class CardChoice:
    """The choice of one of a person's cards; a single card is chosen without a question.

    Its step is called `choose`. `then` continues with the chosen card; it also gets all cards on offer.
    """

    statuses: Sequence[str]
    question: str
    without: str
    """The reply to people without such a card."""
    then: Callable[[Turn, transit.Card, Sequence[transit.Card]], Awaitable[Outcome]]

    async def begin(self, turn: Turn) -> Outcome:
        """Begin an intent with the choice."""
        cards = await cards_of(turn, *self.statuses)
        if not cards:
            return Done(self.without)
        if len(cards) == 1:
            return await self.then(turn, cards[0], cards)
        return Go("choose", {**turn.data, "cards": [card.card_number for card in cards]})

    @property
    def step(self) -> Step:
        """Return the step that asks which card, and takes its place in the list, its text or its last digits."""
        return Step(self._ask, self._handle)

    async def _offered(self, turn: Turn) -> Sequence[transit.Card]:
        """Return the cards that were offered, in the order in which they were."""
        cards = {card.card_number: card for card in await cards_of(turn, *self.statuses)}
        return [cards[number] for number in turn.data["cards"] if number in cards]

    async def _ask(self, turn: Turn) -> Say:
        return Say(self.question, numbered([described(card) for card in await self._offered(turn)]))

    async def _handle(self, turn: Turn) -> Outcome:
        cards = await self._offered(turn)
        place = turn.chosen([described(card) for card in cards])
        if place is not None:
            return await self.then(turn, cards[place], cards)
        digits = turn.plain.replace(" ", "")
        meant = [card for card in cards if len(digits) >= _FEWEST_DIGITS and card.card_number.endswith(digits)]
        if len(meant) == 1:
            return await self.then(turn, meant[0], cards)
        return Again("Responda com o número de uma das opções.")
