"""Option 5: ask a question. Answered from the knowledge base; when nothing fits, it says so and names the nearest."""

from dataclasses import replace

from carteira.assistant.flow import Done, Go, Intent, Outcome, Say, Stay, Step, Turn, numbered

UNKNOWN = "Não sei responder a isso"


async def _begin(_turn: Turn) -> Outcome:
    return Go("question")


async def _ask(_turn: Turn) -> Say:
    return Say("Qual é a sua pergunta?")


async def _handle(turn: Turn) -> Outcome:
    nearest = turn.data.get("nearest") or ()
    place = turn.chosen(nearest) if nearest else None
    text = turn.text if place is None else nearest[place]
    understood = await turn.understand(replace(turn, text=text))
    if understood.answer is None:
        nearest = understood.meaning.nearest
        return Stay(UNKNOWN, numbered(nearest) or None, {"nearest": list(nearest)})
    return Done(understood.answer, [understood.action] if understood.action else None, understood.page)


INTENT = Intent("ask", "Fazer uma pergunta", _begin, {"question": Step(_ask, _handle)}, number=5)
