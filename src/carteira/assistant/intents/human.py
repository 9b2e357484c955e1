"""Talk to a person: a ticket with a protocol, and its answer when there is one."""

from carteira.assistant import tickets
from carteira.assistant.flow import Again, Done, Go, Intent, Outcome, Say, Step, Turn
from carteira.assistant.requests import read

_WISH = 12
"""Most words of a message that only asks for a person."""


async def _begin(turn: Turn) -> Outcome:
    last = await tickets.latest(turn.tx, turn.person.user_id)
    if last is not None and last.answer is None:
        return Done(f"Seu atendimento {last.number} está aberto: uma pessoa responde por aqui.")
    return Go("describe", {"answered": last is not None})


async def _ask(turn: Turn) -> Say:
    before = ""
    last = await tickets.latest(turn.tx, turn.person.user_id) if turn.data.get("answered") else None
    if last is not None and last.answer is not None:
        before = f"Resposta ao seu atendimento {last.number}: {last.answer}\n\n"
    return Say(f"{before}Para abrir um atendimento, conte em uma mensagem o que você precisa. Nunca envie a sua senha.")


async def _handle(turn: Turn) -> Outcome:
    asked = read(turn.text)
    if asked is not None and asked.intent == "human" and len(turn.plain.split()) <= _WISH:
        return Again("Uma pessoa vai ler. Para isso, conte antes o que aconteceu, em uma mensagem.")
    if len(turn.plain) < tickets.LEAST:
        return Again("Conte com um pouco mais de detalhe, para a pessoa entender.")
    ticket = await tickets.open_ticket(turn.tx, turn.person.user_id, turn.text)
    return Done(f'Atendimento aberto. Seu protocolo é {ticket.number}. Escreva "meu atendimento" para ver a resposta.')


INTENT = Intent("human", "Falar com atendente", _begin, {"describe": Step(_ask, _handle)})
