"""Questions asked together each get their own answer, and none that is older than the question."""

import asyncio
from collections.abc import Sequence

import pytest

from carteira.kit.ops.gathered import Gathered


class Trips:
    """Answers each question with itself and the number of its trip, when it is released."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.let = asyncio.Semaphore(0)
        self.gathered = Gathered(self._ask_all)

    async def _ask_all(self, questions: Sequence[str]) -> Sequence[tuple[str, int]]:
        self.asked.append(list(questions))
        number = len(self.asked)
        await self.let.acquire()
        if "bad" in questions:
            raise LookupError("bad")
        return [(question, number) for question in questions]

    def start(self, question: str) -> asyncio.Task[tuple[str, int]]:
        return asyncio.create_task(self.gathered.ask(question))


async def turn() -> None:
    """Let all other tasks have their turns of the loop."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_reads_during_a_trip_join_the_next_one() -> None:
    trips = Trips()
    first = trips.start("a")
    await turn()
    others = [trips.start(name) for name in "bcb"]
    await turn()
    assert trips.asked == [["a"]], "one trip at a time"
    trips.let.release()
    trips.let.release()
    assert await first == ("a", 1)
    assert [await other for other in others] == [("b", 2), ("c", 2), ("b", 2)]
    assert trips.asked == [["a"], ["b", "c", "b"]]


async def test_a_trip_that_fails_fails_its_questions_only() -> None:
    trips = Trips()
    bad = trips.start("bad")
    await turn()
    good = trips.start("good")
    trips.let.release()
    trips.let.release()
    with pytest.raises(LookupError):
        await bad
    assert await good == ("good", 2)


async def test_cancelled_readers_delay_nobody() -> None:
    trips = Trips()
    first, second = trips.start("a"), trips.start("b")
    await turn()
    third = trips.start("c")
    await turn()
    first.cancel()
    third.cancel()
    trips.let.release()
    trips.let.release()
    assert (await second)[0] == "b"
    with pytest.raises(asyncio.CancelledError):
        await third


def test_gathering_outlives_its_event_loop() -> None:
    trips = Gathered(_same)
    assert asyncio.run(trips.ask("a")) == "a"
    assert asyncio.run(trips.ask("b")) == "b"


async def _same(questions: Sequence[str]) -> Sequence[str]:
    return questions
