"""The conversation: one row per person, one message at a time, from the menu through an intent's steps to its end.

The row is locked for a message's transaction, so that concurrent messages on any servers are serialised, and a
message's effects commit with the conversation's new state. "voltar" goes back one step, "sair" leaves, "menu" restarts.
After `STALE` of silence a conversation is dropped: a "sim" an hour later confirms nothing.
"""

import asyncio
import hashlib
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import select

from carteira import documents, payments, resellers
from carteira.assistant import intents, metrics, unanswered
from carteira.assistant.feelings import despairs
from carteira.assistant.flow import (
    Again,
    Become,
    Data,
    Done,
    Go,
    Intent,
    Meaning,
    Outcome,
    Say,
    Stay,
    Step,
    Turn,
    Understood,
    UploadRequest,
)
from carteira.assistant.intents.ask import UNKNOWN
from carteira.assistant.model_cache import ModelCache
from carteira.assistant.models import ChatbotState
from carteira.assistant.pages import PAGES, PageLink
from carteira.assistant.text import clean
from carteira.assistant.understanding import UnclearMessage, best_matches, explicit_meaning
from carteira.kit.db.session import Tx, fetch
from carteira.kit.ops.gathered import Gathered
from carteira.kit.values.clock import clock
from carteira.kit.web.access import Principal
from carteira.kit.web.problems import EXPECTED, problem_of
from carteira.kit.web.state import StateKey

STALE = timedelta(minutes=30)
PATIENCE = 3
"""The number of times that a step asks again before the conversation returns to the menu."""
MAX_STEPS = 12
"""Most outcomes that one message may lead through; intents need two or three."""
OWN_CLAIMS = (resellers.CLAIM,)
"""The claims that take effect here: those to one's own things."""

_LEAVE = frozenset({"sair", "encerrar", "encerrar conversa", "fim", "sair da conversa"})
_BACK = frozenset({"voltar", "volta", "voltar atras"})
_MENU = frozenset({"menu", "voltar ao menu", "inicio", "opcoes"})

_THINKING = ThreadPoolExecutor(1, "carteira-assistant")
"""One thread: the work needs a processor, and several threads would compete for it with each other and the rest."""

GREETING = "Olá! Sou o assistente da Carteira. Como posso ajudar? Escolha uma opção ou escreva com as suas palavras."
MENU = "Como posso ajudar? Escolha uma opção ou escreva com as suas palavras."
GOODBYE = "Até logo! Quando precisar, é só escrever."
ELSEWHERE = "Esta conversa seguiu em outra tela, e a sua resposta era para outra pergunta. "
EXPIRED = "A conversa anterior ficou parada por muito tempo e foi encerrada. "
NOTHING_DONE = "Certo, não faço nada disso. Posso ajudar em outra coisa?"
CALM = "Entendo que você está com raiva, e quero resolver. Diga o que aconteceu, ou fale com uma pessoa."
CARE = (
    "O que você sente importa, e você não precisa passar por isso sem ninguém. O CVV ouve você agora, de graça e em "
    "sigilo, a qualquer hora: ligue 188 ou converse em cvv.org.br. Se há perigo neste momento, ligue 192 (SAMU) ou "
    "peça a alguém perto de você que fique ao seu lado."
)
LOST = 'Não consegui entender. Vamos voltar ao começo: escolha uma opção, ou escreva "falar com atendente".'


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply to the person. After the end of a conversation the next message begins a new one."""

    message: str
    options: Sequence[str] | None = None
    end_conversation: bool = False
    upload: UploadRequest | None = None
    page: PageLink | None = None
    """The wallet's page about the message's subject."""
    standing: str = ""
    """The question that an answer to this message answers (`State.standing`)."""


@dataclass(frozen=True, slots=True)
class Place:
    """A step of an intent and its data when it was reached."""

    step: str
    data: Data


@dataclass(frozen=True, slots=True)
class State:
    """The state of a conversation. Without an intent it is at the menu."""

    intent: str | None = None
    place: Place | None = None
    trail: tuple[Place, ...] = ()
    tries: int = 0

    @property
    def standing(self) -> str:
        """An id of the open question with its subject: other cards and amounts are other questions."""
        if self.intent is None or self.place is None:
            return "menu"
        about = json.dumps([self.intent, self.place.step, self.place.data], sort_keys=True)
        return hashlib.sha256(about.encode()).hexdigest()[:32]


AT_MENU = State()


class Assistant:
    """The verbs of one server process; `modules` are the optional ones that are on."""

    def __init__(
        self,
        model_cache: ModelCache,
        modules: frozenset[str],
        ring: documents.MasterKeyRing | None,
        *,
        free_recharges: bool = True,
        paid_by: payments.Payments | None = None,
    ) -> None:
        self._free_recharges = free_recharges
        self._paid_by = paid_by
        self.model_cache = model_cache
        self._likest = Gathered(_think)
        self._modules = modules
        self._ring = ring

    async def start(self, tx: Tx, who: Principal) -> Reply:
        """Reset the person's conversation and list the options (rules.md, assistant)."""
        await self.model_cache.prepare(tx)
        state, _ = await _locked(tx, who.user_id)
        await self._undo(self._turn(tx, who, ""), state)
        await _store(tx, who.user_id, AT_MENU)
        return self._menu(GREETING)

    async def resume(self, tx: Tx, who: Principal) -> Reply:
        """Return the open question again; if there is none, the options."""
        await self.model_cache.prepare(tx)
        state, is_stale = await _locked(tx, who.user_id)
        if is_stale or self._open_step(state) is None:
            return replace(self._menu(GREETING), standing=AT_MENU.standing if is_stale else state.standing)
        _, reply = await self._ask(self._turn(tx, who, ""), state)
        return replace(reply, standing=state.standing)

    async def chat(
        self, tx: Tx, who: Principal, message: str, file_id: UUID | None = None, *, standing: str | None = None
    ) -> Reply:
        """Answer a message and store the conversation's new state.

        With `standing`, the message answers that question: if another one is open by now (two pages), that is asked
        again, so that a yes to the one is no yes to the other.
        """
        turn = self._turn(tx, who, clean(message), file_id)
        state, is_stale = await _locked(tx, who.user_id)
        before, prefix = state, ""
        if is_stale:
            await self._undo(turn, state)
            state, prefix = AT_MENU, EXPIRED
        is_meant = standing in {None, state.standing} or turn.plain in _LEAVE | _MENU
        if is_meant or self._open_step(state) is None:
            state, reply = await self._answer(turn, state)
        else:
            prefix = ELSEWHERE
            state, reply = await self._ask(turn, state)
        if not (before.intent is None and state.intent is None):  # otherwise it keeps waiting at the menu
            await _store(tx, who.user_id, state)
        metrics.messages.labels(state.intent or "menu").inc()
        return replace(reply, message=prefix + reply.message, standing=state.standing)

    def _turn(self, tx: Tx, who: Principal, text: str, file_id: UUID | None = None) -> Turn:
        own = frozenset(claim for claim in OWN_CLAIMS if who.may(claim))
        return Turn(
            tx,
            Principal(who.user_id, own),
            text,
            {},
            self.understand,
            file_id,
            self._ring,
            self._free_recharges,
            self._paid_by,
        )

    def is_on(self, offered: Intent | PageLink) -> bool:
        """Return whether the module of an intent or a page is served."""
        return offered.module is None or offered.module in self._modules

    def _menu(self, message: str) -> Reply:
        return Reply(message, [f"{one.number}. {one.title}" for one in intents.MENU if self.is_on(one)])

    async def _answer(self, turn: Turn, state: State) -> tuple[State, Reply]:
        if despairs(turn.text):
            return state, Reply(CARE)
        if turn.plain in _LEAVE:
            await self._undo(turn, state)
            return AT_MENU, Reply(GOODBYE, end_conversation=True)
        if turn.plain in _MENU:
            await self._undo(turn, state)
            return AT_MENU, self._menu(MENU)
        if turn.plain in _BACK:
            return await self._go_back(turn, state)
        if state.intent is None or state.place is None:
            return await self._at_menu(turn)
        return await self._in_step(turn, state)

    async def _go_back(self, turn: Turn, state: State) -> tuple[State, Reply]:
        await self._undo(turn, state)
        if not state.trail:
            return AT_MENU, self._menu(MENU)
        *trail, place = state.trail
        return await self._ask(turn, State(state.intent, place, tuple(trail)))

    async def _at_menu(self, turn: Turn) -> tuple[State, Reply]:
        if not turn.plain:
            return AT_MENU, self._menu("Escreva o que você precisa, ou escolha uma opção.")
        outright = explicit_meaning(turn.text)
        understood = await self._understood(turn) if outright is None else Understood(outright)
        meant = understood.meaning
        if meant.kind == "intent":
            return await self._begin_named(replace(turn, data=meant.slots), meant.name)
        return AT_MENU, self._reply_to(understood)

    def _reply_to(self, understood: Understood) -> Reply:
        """Return the reply to a message that begins no intent."""
        match understood.meaning.kind:
            case "denied":
                return self._menu(NOTHING_DONE)
            case "insult":
                return Reply(CALM, [intents.ALL["human"].title])
            case "answer":
                assert understood.answer is not None
                options = [understood.action] if understood.action else None
                return Reply(understood.answer, options, end_conversation=options is None, page=understood.page)
            case _:
                return Reply(UNKNOWN, list(understood.meaning.nearest) or None)

    async def _begin_named(self, turn: Turn, name: str) -> tuple[State, Reply]:
        if name == "menu":
            return AT_MENU, self._menu(GREETING)
        if name == "thanks":
            return AT_MENU, Reply("De nada! " + GOODBYE, end_conversation=True)
        return await self._begin(turn, intents.ALL[name])

    async def _begin(self, turn: Turn, intent: Intent) -> tuple[State, Reply]:
        if not self.is_on(intent):
            return AT_MENU, self._menu("Este serviço não está disponível aqui.")
        metrics.intents.labels(intent.name).inc()
        outcome = await self._run(turn, intent.begin)
        return await self._follow(turn, State(intent.name), outcome)

    def _open_step(self, state: State) -> Step | None:
        """Return the step that waits for an answer; None at the menu, or if it was removed or turned off since."""
        intent = intents.ALL.get(state.intent or "")
        return intent.steps.get(state.place.step) if intent and state.place and self.is_on(intent) else None

    async def _in_step(self, turn: Turn, state: State) -> tuple[State, Reply]:
        assert state.place is not None
        step = self._open_step(state)
        if step is None:
            return AT_MENU, self._menu(MENU)  # the server was upgraded, or a module turned off, in between
        turn = replace(turn, data=state.place.data)
        outcome = await self._run(turn, step.handle)
        return await self._follow(turn, state, outcome)

    async def _run(self, turn: Turn, work: Any) -> Outcome:  # noqa: ANN401 - a begin or a take, alike in shape
        """Run an intent; a module's refusal is reported, rolled back, and ends the intent."""
        try:
            async with turn.tx.begin_nested():
                outcome: Outcome = await work(turn)
                return outcome
        except EXPECTED as error:
            problem = problem_of(error)
            if problem.status >= 500:  # noqa: PLR2004 - HTTP's own bound
                raise
            return Done(problem.detail)

    async def _follow(self, turn: Turn, state: State, outcome: Outcome) -> tuple[State, Reply]:
        """Follow an outcome to the next step, and ask its question."""
        match outcome:
            case Done(message, options, page):
                return AT_MENU, Reply(message, options, end_conversation=options is None, page=page)
            case Become(name, data):
                return await self._begin_named(replace(turn, data=data), name)
            case Stay(message, options, data):
                assert state.place is not None, "only a step stays"
                return replace(state, place=Place(state.place.step, data), tries=0), Reply(message, options)
            case Again(message):
                return await self._again(turn, state, message)
            case Go(step, data):
                trail = state.trail if state.place is None else (*state.trail, state.place)
                return await self._ask(turn, State(state.intent, Place(step, data), trail[-MAX_STEPS:]))

    async def _again(self, turn: Turn, state: State, message: str) -> tuple[State, Reply]:
        if state.tries + 1 >= PATIENCE:
            await self._undo(turn, state)
            return AT_MENU, self._menu(LOST)
        _, reply = await self._ask(turn, state)
        return replace(state, tries=state.tries + 1), replace(reply, message=message)

    async def _ask(self, turn: Turn, state: State) -> tuple[State, Reply]:
        assert state.intent is not None
        assert state.place is not None
        step = intents.ALL[state.intent].steps[state.place.step]
        try:
            question: Say = await step.ask(replace(turn, data=state.place.data))
        except EXPECTED as error:
            problem = problem_of(error)
            if problem.status >= 500:  # noqa: PLR2004 - the class of statuses
                raise
            return AT_MENU, Reply(problem.detail, end_conversation=True)
        return state, Reply(question.message, question.options, upload=question.upload)

    async def _undo(self, turn: Turn, state: State) -> None:
        """Undo the unfinished preparation of the present step."""
        intent = intents.ALL.get(state.intent or "")
        step = intent.steps.get(state.place.step) if intent and state.place else None
        if step is not None and step.undo is not None and state.place is not None:
            await step.undo(replace(turn, data=state.place.data))

    async def understand(self, turn: Turn) -> Understood:
        """Find the answer to a question; store an unanswered one, scrubbed, for the operators."""
        return await self._understood(turn, questions_only=True)

    async def _understood(self, turn: Turn, *, questions_only: bool = False) -> Understood:
        model = await self.model_cache.model(turn.tx)
        found = await self._likest.ask(UnclearMessage(model, turn.text, questions_only))
        if found.kind == "unknown":
            await unanswered.store(turn.tx, turn.text, found.nearest)
            metrics.answers.labels("unknown").inc()
        if found.kind != "answer":
            return Understood(found)
        metrics.answers.labels("answered").inc()
        topic = model.topics[found.name]
        action = intents.ALL.get(topic.action or "")
        page = PAGES.get(topic.page or "")
        return Understood(
            found,
            topic.answer,
            action.title if action and self.is_on(action) else None,
            page if page and self.is_on(page) else None,
        )

    async def forget_stale(self, tx: Tx, *, limit: int = 200) -> int:
        """Drop unfinished conversations with what they had prepared; return how many. A job calls it."""
        rows = await tx.scalars(
            select(ChatbotState)
            .where(ChatbotState.intent.is_not(None), ChatbotState.updated_at < clock.now() - STALE)
            .order_by(ChatbotState.updated_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        found = rows.all()
        for row in found:
            await self._undo(self._turn(tx, Principal(row.user_id), ""), _state_of(row.intent, row.step, row.context))
            await _store(tx, row.user_id, AT_MENU)
        return len(found)


ASSISTANT = StateKey[Assistant]("assistant")


async def _think(asked: Sequence[UnclearMessage]) -> Sequence[Meaning]:
    """Rank the waiting messages in a thread, while others are served."""
    return await asyncio.get_running_loop().run_in_executor(_THINKING, best_matches, asked)


_LOCKED = """
    SELECT intent, step, context::text, intent IS NOT NULL AND $2::timestamptz - updated_at > $3::interval AS is_stale
    FROM chatbot_states WHERE user_id = $1 FOR UPDATE
"""
_MADE = """
    INSERT INTO chatbot_states (user_id, context, updated_at) VALUES ($1, '{}', $2) ON CONFLICT DO NOTHING
"""
_STORED = """
    UPDATE chatbot_states SET intent = $2, step = $3, context = $4::text::jsonb, updated_at = $5 WHERE user_id = $1
"""


async def _locked(tx: Tx, user_id: UUID) -> tuple[State, bool]:
    """Lock the person's row, created at their first message; return its state, and whether it is stale."""
    asked = (_LOCKED, user_id, clock.now(), STALE)
    rows = await fetch(tx, *asked)
    if not rows:
        await fetch(tx, _MADE, user_id, clock.now())
        rows = await fetch(tx, *asked)
    ((intent, step, context, is_stale),) = rows
    return _state_of(intent, step, json.loads(context)), is_stale


def _state_of(intent: str | None, step: str | None, context: Mapping[str, Any]) -> State:
    if intent is None or step is None:
        return AT_MENU
    trail = tuple(Place(step, data) for step, data in context.get("trail", ()))
    return State(intent, Place(step, context.get("data", {})), trail, context.get("tries", 0))


async def _store(tx: Tx, user_id: UUID, state: State) -> None:
    place = state.place if state.intent is not None else None
    context: dict[str, Any] = {}
    if place is not None:
        context = {
            "data": dict(place.data),
            "trail": [[past.step, dict(past.data)] for past in state.trail],
            "tries": state.tries,
        }
    values = (state.intent if place else None, place.step if place else None, json.dumps(context), clock.now())
    await fetch(tx, _STORED, user_id, *values)
