"""Back, cancel, stale and lost turns, and concurrent ones; malformed messages are in `test_servers`."""

import asyncio
import threading
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from carteira.assistant.conversation import Assistant
from carteira.assistant.knowledge import Topic
from carteira.assistant.model_cache import ModelCache
from carteira.assistant.people import erase_person, export_person
from carteira.assistant.ranker import Ranker
from carteira.kit.values.clock import clock
from tests.support.app import RunningApp, running_app, settings_for
from tests.support.chat import MENU, UNKNOWN, ChatUser, chat_user

CPF = "529.982.247-25"


async def test_back_goes_one_step_at_a_time(talker: ChatUser) -> None:
    kinds = await talker.say("3")
    await talker.say("1")
    assert (await talker.say("voltar")) == kinds
    assert (await talker.say("voltar"))["options"] == MENU
    assert (await talker.say("voltar"))["options"] == MENU


@pytest.mark.parametrize("messages", [[], ["2"], ["3", "1"], ["5"], ["recarregar"]])
async def test_leaving_is_possible_everywhere(talker: ChatUser, messages: list[str]) -> None:
    await talker.cards()
    for message in messages:
        await talker.say(message)
    assert (await talker.say("Sair"))["end_conversation"] is True
    assert "R$" in (await talker.say("1"))["message"]


async def test_a_stale_conversation_confirms_nothing(talker: ChatUser) -> None:
    await talker.cards()
    await talker.say("2")
    clock.advance(timedelta(minutes=31))
    assert "parada" in (await talker.say("sim"))["message"]
    clock.run()
    assert [card["status"] for card in await talker.cards()] == ["active"]


async def test_the_job_deletes_leftovers(app: RunningApp, talker: ChatUser) -> None:
    for message in ("3", "2", CPF):
        await talker.say(message)
    assistant = Assistant(ModelCache(vectors=False), frozenset({"documents"}), None)
    clock.advance(timedelta(minutes=31))
    async with app.database.transaction() as tx:
        assert await assistant.forget_stale(tx) >= 1
    clock.run()
    assert await talker.documents() == []


async def test_a_step_that_is_not_understood_ends_in_the_menu(talker: ChatUser) -> None:
    await talker.cards()
    await talker.say("2")
    answers = [await talker.say("abacate") for _ in range(3)]
    assert [answer["options"] == MENU for answer in answers] == [False, False, True]


async def test_many_at_once_recharge_once(talker: ChatUser) -> None:
    await talker.cards()
    for message in ("recarregar", "10"):
        await talker.say(message)
    await asyncio.gather(*(talker.say("sim") for _ in range(8)))
    assert [card["balance"] for card in await talker.cards()] == [1000]


async def test_another_persons_card_is_never_shown(app: RunningApp, talker: ChatUser) -> None:
    other = chat_user(app)
    (card,) = await other.cards()
    await other.recharge(card["card_number"], 98_765)
    await talker.cards()
    for message in (f"saldo do cartão {card['card_number']}", f"cancelar o cartão {card['card_number']}"):
        for said in (message, card["card_number"], "sim"):
            assert "987,65" not in (await talker.say(said))["message"]
    assert [(item["status"], item["balance"]) for item in await other.cards()] == [("active", 98_765)]


async def test_modules_that_are_off_are_not_offered(database_url: str, tmp_path: Path) -> None:
    settings = settings_for(tmp_path, carteira_modules="assistant", database_url=database_url, assistant_vectors=False)
    async with running_app(settings) as alone:
        talker = chat_user(alone)
        assert (await talker.start())["options"] == MENU[4:]
        assert "não está disponível" in (await talker.say("1"))["message"]
        assert "não está disponível" in (await talker.say("quero cancelar meu cartão"))["message"]
        await talker.say("5")
        assert "Esqueci a senha" in (await talker.say("esqueci minha senha"))["message"]
        ready = (await alone.client.get("/health/ready")).json()
        assert ready["checks"]["assistant"] == "words only"


async def test_a_request_that_waits_for_training_holds_no_connection(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_learn, learn = threading.Event(), ModelCache._train  # noqa: SLF001 - the test delays the training

    def learn_later(model_cache: ModelCache, topics: Sequence[Topic]) -> Ranker:
        assert may_learn.wait(60)
        return learn(model_cache, topics)

    monkeypatch.setattr(ModelCache, "_train", learn_later)
    settings = settings_for(
        tmp_path,
        carteira_modules="assistant,transit",
        database_url=database_url,
        database_pool_size=2,
        assistant_vectors=False,
    )
    async with running_app(settings) as small:
        talkers = [chat_user(small) for _ in range(6)]
        waiting = [asyncio.create_task(talker.say("1")) for talker in talkers]
        try:
            for talker in talkers:
                assert len(await talker.cards()) == 1
            assert not any(task.done() for task in waiting)
        finally:
            may_learn.set()
        assert {"R$ 0,00" in (await task)["message"] for task in waiting} == {True}


async def test_export_and_erasure(app: RunningApp, talker: ChatUser) -> None:

    await talker.say("falar com atendente")
    await talker.say("Quero saber do meu pedido")
    await talker.say("3")
    async with app.database.transaction() as tx:
        held = await export_person(tx, talker.id)
        assert held["conversation"]["intent"] == "save_document"
        assert [ticket["message"] for ticket in held["tickets"]] == ["Quero saber do meu pedido"]
        await erase_person(tx, talker.id)
        assert await export_person(tx, talker.id) == {"conversation": None, "tickets": []}
        assert await export_person(tx, uuid4()) == {"conversation": None, "tickets": []}


async def test_an_unknown_question_is_answered_as_unknown(talker: ChatUser) -> None:
    for before in ([], ["5"]):
        for said in before:
            await talker.say(said)
        answer = await talker.say("qual a capital da Austrália?")
        assert answer["message"] == UNKNOWN
        assert answer["end_conversation"] is False
        assert len(answer["options"]) == 3
        assert (await talker.say(answer["options"][0]))["message"] != UNKNOWN
