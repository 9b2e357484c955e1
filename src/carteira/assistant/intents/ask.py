"""Option 5: ask a question. Answered from the knowledge base; when nothing fits, it says so and names the nearest."""

from carteira.assistant.flow import Done, Go, Intent, Outcome, Say, Stay, Step, Turn, Understood, numbered

UNKNOWN = "Não sei responder a isso"


async def _begin(_turn: Turn) -> Outcome:
    return Go("question")


async def _ask(_turn: Turn) -> Say:
    return Say("Qual é a sua pergunta?")


async def _take(turn: Turn) -> Outcome:
    nearest = turn.data.get("nearest") or ()
    place = turn.chosen(nearest) if nearest else None
    text = turn.text if place is None else nearest[place]
    understood = await turn.understand(
        Turn(turn.tx, turn.person, text, turn.data, turn.understand, turn.file_id, turn.ring), False
    )
    if understood.answer is None:
        return unknown(understood)
    return Done(understood.answer, [understood.action] if understood.action else None)


def unknown(understood: Understood) -> Stay:
    """Say that there is no answer, and offer the nearest questions."""
    return Stay(UNKNOWN, numbered(understood.nearest) or None, {"nearest": list(understood.nearest)})


INTENT = Intent("ask", "Fazer uma pergunta", _begin, {"question": Step(_ask, _take)}, number=5)
