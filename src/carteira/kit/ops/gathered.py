"""Answers the questions of many requests in one trip."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from carteira.kit.ops import tracing

Question = TypeVar("Question")
Answer = TypeVar("Answer")


class Gathered(Generic[Question, Answer]):
    """Sends all waiting questions in one trip, one trip at a time.

    While a trip is under way, a question waits for the next one, so that no answer is older than its question. Without
    load a question goes at once.
    """

    def __init__(self, ask_all: Callable[[Sequence[Question]], Awaitable[Sequence[Answer]]]) -> None:
        """`ask_all` answers several questions at once, in their order."""
        self._ask_all = ask_all
        self._waiting: list[tuple[Question, asyncio.Future[Answer], tracing.AnySpan]] = []
        self._trips: asyncio.Task[None] | None = None

    async def ask(self, question: Question) -> Answer:
        """Return the answer; raise what the trip raised."""
        return await self.put(question)

    def put(self, question: Question) -> asyncio.Future[Answer]:
        """Queue a question, and return the future of its answer."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Answer] = loop.create_future()
        self._waiting.append((question, answer, tracing.current()))
        if self._trips is None or self._trips.done() or self._trips.get_loop() is not loop:
            self._trips = loop.create_task(self._travel(), name="gathered questions", context=tracing.apart())
        return answer

    async def _travel(self) -> None:
        while self._waiting:
            asked, self._waiting = self._waiting, []
            try:
                with tracing.together("gathered questions", [span for _, _, span in asked if span is not None]):
                    answers = await self._ask_all([question for question, _, _ in asked])
            except BaseException as error:
                for _, future, _ in asked:
                    if not future.done():
                        future.set_exception(error) if isinstance(error, Exception) else future.cancel()
                if not isinstance(error, Exception):
                    raise
                continue
            for (_, future, _), answer in zip(asked, answers, strict=True):
                if not future.done():
                    future.set_result(answer)
