"""The assistant: a conversation in Portuguese that completes tasks, and says so when it does not know an answer.

It owns conversations (one row per person), the knowledge base with its versions, unanswered questions, and tickets.
Invariants:

- it acts only as the person themselves may, through the other modules' doors; claims to other people's things have no
  effect here;
- a message's effects and the conversation's new state commit together, one message of a person at a time;
- every answer was written by an operator: nothing is generated, and a question without a good match is not answered;
- unanswered questions are stored without personal data and without their person.

Sources: rules.md, assistant; ADR 0009; `docs/reference/assistant.md`.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from fastapi import FastAPI

from carteira import documents, payments
from carteira.assistant import desk
from carteira.assistant.conversation import ASSISTANT, Assistant
from carteira.kit.module import Module
from carteira.kit.web.state import DATABASE

__all__ = ["ASSISTANT", "Assistant", "desk", "module"]


def module(  # noqa: PLR0913 - one argument per setting
    *,
    modules: frozenset[str],
    free_recharges: bool = True,
    vectors: bool = True,
    eager: bool = True,
    question_days_kept: int = 90,
    home: Path | None = None,
) -> Module:
    """Hand the assistant to the composition root.

    `modules` are the optional modules that are on; `free_recharges` says whether a card is recharged without a payment;
    `vectors` loads the sentence encoder where it is installed. Training takes some seconds of a processor: with `eager`
    at the server's start, otherwise at the first conversation; its result is stored in a folder of `home`. Unanswered
    questions are kept for `question_days_kept`.
    """
    from carteira.assistant import routes
    from carteira.assistant.jobs import blueprint
    from carteira.assistant.model_cache import ModelCache
    from carteira.assistant.people import erase_person, export_person

    model_cache = ModelCache(vectors=vectors, folder=home / "assistant" if home else None)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        vault, paid_by = documents.VAULT.get(app), payments.PAYMENTS.get(app)
        assistant = Assistant(
            model_cache,
            modules,
            vault.ring if vault else None,
            free_recharges=free_recharges,
            paid_by=paid_by if paid_by and paid_by.config.provider else None,
        )
        ASSISTANT.set(app, assistant)
        warming = asyncio.create_task(model_cache.warm_up(DATABASE.of(app))) if eager else None
        yield
        if warming is not None:
            warming.cancel()
            with suppress(asyncio.CancelledError):
                await warming

    async def understands(_app: FastAPI) -> bool | str:
        """Return whether it is ready: during training only messages wait; without the encoder it says so."""
        if not model_cache.is_ready:
            return "learning" if eager else "learns with the first conversation"
        return True if model_cache.has_vectors else "words only"

    return Module(
        name="assistant",
        routers=(routes.router,),
        jobs=blueprint(Assistant(model_cache, modules, None), question_days_kept=question_days_kept),
        lifespan=lifespan,
        readiness={"assistant": understands},
        export_person=export_person,
        erase_person=erase_person,
    )
