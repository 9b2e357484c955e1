"""Reading first messages: requests to act, as opposed to questions about an act."""

import pytest

from carteira.assistant.feelings import despairs, insults
from carteira.assistant.requests import Mood, SpokenAct, read
from tests.support.app import RunningApp
from tests.support.chat import MENU, ChatUser


@pytest.mark.parametrize(
    ("text", "intent", "slots"),
    [
        ("quero colocar crédito de dez reais no ônibus", "recharge", {"amount": 1000}),
        ("bota 35 pila no bilhete aí", "recharge", {"amount": 3500}),
        ("recarrega quinze e cinquenta", "recharge", {"amount": 1550}),
        ("recarregar meu cartão", "recharge", {}),
        ("bloqueia ligeiro meu cartão de passagem que me furtaram", "block_card", {}),
        ("não é pra cancelar, é pra bloquear o bilhete", "block_card", {}),
        ("não achei meu cartão em casa, bloqueia", "block_card", {}),
        ("quero que cancele o meu cartão", "cancel_card", {}),
        ("salva aí minha habilitação", "save_document", {"type": "CNH"}),
        ("guardar documento", "save_document", {}),
        ("me põe pra falar com uma pessoa", "human", {}),
        ("mete dez reais no meu passe", "recharge", {"amount": 1000}),
        ("dez reais no bilhete", "recharge", {"amount": 1000}),
        ("bota R$ 6,40 no cartão", "recharge", {"amount": 640}),
        ("desbloqueia meu cartão", "unblock_card", {}),
        ("se puder, recarrega dez reais", "recharge", {"amount": 1000}),
    ],
)
def test_requests_are_recognised(text: str, intent: str, slots: dict[str, object]) -> None:
    assert read(text) == SpokenAct(intent, Mood.WANTED, slots)


@pytest.mark.parametrize(
    "text",
    [
        "não bloqueie o meu cartão",
        "não recarrega nada não",
        "nunca pedi pra cancelar meu cartão",
        "bloqueia meu cartão, não, não bloqueia",
        "cancelar o cartão não",
        "nem pensa em recarregar",
        "desisti da recarga",
        "meu pai quer que eu cancele o cartão mas eu não quero",
    ],
)
def test_negated_requests_are_recognised(text: str) -> None:
    request = read(text)
    assert request is not None
    assert request.mood is Mood.DENIED


@pytest.mark.parametrize(
    "text",
    [
        "se eu cancelar o cartão o que acontece com o saldo?",
        "como bloqueio meu cartão",
        "onde recarregar o bilhete",
        "acho que vou bloquear o cartão",
        "recarreguei vinte reais ontem",
        "quem cancelou meu cartão?",
        "se o dinheiro entrar, põe dez no bilhete",
        "amanhã eu boto dez reais no cartão",
        "quero cancelar a assinatura do filme",
        "tentei bloquear o cartão e deu erro",
        "vocês guardam meu documento onde?",
        "a recarga de dez reais não caiu",
        "qual o meu saldo",
        "por favor me diz o saldo do cartão",
        "tenho dez reais no cartão e não passou",
        "a tela trava quando abro o cartão",
        "o validador bloqueia meu cartão toda hora",
        "vai chover amanhã",
        "",
    ],
)
def test_messages_without_a_request_are_recognised(text: str) -> None:
    request = read(text)
    assert request is None or request.mood is Mood.ASKED


def test_despair_and_insults() -> None:
    assert despairs("não aguento mais viver")
    assert despairs("penso em me matar")
    assert not despairs("quero sumir com esse cartão velho")
    assert insults("seus inúteis")
    assert not insults("meu cartão não passa")


async def test_a_request_begins_the_act_with_its_details(talker: ChatUser) -> None:
    await talker.cards()
    asked = await talker.say("coloca dez reais no bilhete")
    assert "Recarregar R$ 10,00" in asked["message"]
    assert "feita" in (await talker.say("pode mandar"))["message"]
    assert [card["balance"] for card in await talker.cards()] == [1000]


async def test_details_are_kept_while_a_card_is_chosen(talker: ChatUser) -> None:
    await talker.cards()
    await talker.another_card()
    await talker.say("recarrega vinte e cinco no cartão")
    assert "Recarregar R$ 25,00" in (await talker.say("o segundo"))["message"]


async def test_a_lost_card_is_blocked_and_unblocked(talker: ChatUser) -> None:
    await talker.cards()
    blocked = await talker.say("fui roubado, bloqueia meu cartão de ônibus agora")
    assert "bloqueado" in blocked["message"]
    assert [card["status"] for card in await talker.cards()] == ["blocked"]
    asked = await talker.say("achei, desbloqueia o cartão")
    assert asked["options"] == ["1. Sim, desbloquear", "2. Não desbloquear"]
    assert "só sim" in (await talker.say("sim, se ninguém usou"))["message"]
    assert [card["status"] for card in await talker.cards()] == ["blocked"]
    await talker.say("sim")
    assert [card["status"] for card in await talker.cards()] == ["active"]


@pytest.mark.parametrize(
    "message", ["não bloqueia meu cartão", "não quero cancelar meu cartão", "não recarrega 10 reais"]
)
async def test_negated_requests_begin_nothing(talker: ChatUser, message: str) -> None:
    await talker.cards()
    answer = await talker.say(message)
    assert answer["options"] == MENU
    await talker.say("sim")
    assert [(card["status"], card["balance"]) for card in await talker.cards()] == [("active", 0)]


async def test_a_repeated_wish_for_a_person_opens_no_ticket(app: RunningApp, talker: ChatUser) -> None:
    await talker.say("quero falar com uma pessoa")
    assert "conte antes" in (await talker.say("quero falar com um atendente de verdade"))["message"]
    assert "protocolo" in (await talker.say("Meu nome está errado no cartão"))["message"]
    operator = app.person("assistant:read")
    waiting = (await operator.get("/chatbot/tickets", open="true", limit=100)).json()["items"]
    assert [item["message"] for item in waiting if item["user_id"] == str(talker.id)] == [
        "Meu nome está errado no cartão"
    ]


async def test_despair_is_answered_kindly_wherever_it_is_said(talker: ChatUser) -> None:
    await talker.cards()
    await talker.say("2")
    assert "188" in (await talker.say("não quero mais viver"))["message"]
    assert [card["status"] for card in await talker.cards()] == ["active"]
    assert (
        "fale com uma pessoa" in (await talker.start() and await talker.say("vocês são uns incompetentes"))["message"]
    )


async def test_a_question_about_ones_own_things_is_answered_with_them(talker: ChatUser) -> None:
    (card,) = await talker.cards()
    await talker.recharge(card["card_number"], 777)
    assert "R$ 7,77" in (await talker.say("quanto sobrou no meu bilhete?"))["message"]
