"""Each intent over HTTP to its end, and its effect."""

import pytest
from sqlalchemy import text

from tests.support.app import RunningApp
from tests.support.chat import MENU, ChatUser, chat_user
from tests.support.files import pdf

CPF = "529.982.247-25"


async def test_the_start_lists_the_five_options(talker: ChatUser) -> None:
    answer = await talker.start()
    assert (answer["options"], answer["end_conversation"]) == (MENU, False)


@pytest.mark.parametrize(
    "message", ["1", "1.", MENU[0], "qual meu saldo?", "QUAL MEU SALDO", "ver saldo", "qal meu sado"]
)
async def test_the_balance_of_my_card(talker: ChatUser, message: str) -> None:
    (card,) = await talker.cards()
    await talker.recharge(card["card_number"], 12_345)
    await talker.start()
    answer = await talker.say(message)
    assert "R$ 123,45" in answer["message"]
    assert answer["end_conversation"] is True


@pytest.mark.parametrize(
    "message", ["2", "quero cancelar meu cartão", "quero cancelar meu cartao", "cancela meu cartão"]
)
async def test_cancelling_asks_first_and_then_cancels(app: RunningApp, talker: ChatUser, message: str) -> None:
    (card,) = await talker.cards()
    asked = await talker.say(message)
    assert "definitivo" in asked["message"]
    assert (await talker.cards())[0]["status"] == "active"
    done = await talker.say("sim")
    assert done["end_conversation"] is True
    assert (await talker.cards())[0]["status"] == "cancelled"
    async with app.database.transaction() as tx:
        told = await tx.scalar(
            text("SELECT count(*) FROM events WHERE topic = 'transit.card_cancelled' AND payload->>'card_id' = :card"),
            {"card": card["id"]},
        )
    assert told == 1


async def test_not_cancelling_leaves_the_card(talker: ChatUser) -> None:
    await talker.cards()
    await talker.say("2")
    assert (await talker.say("não"))["end_conversation"] is True
    assert (await talker.cards())[0]["status"] == "active"
    assert "cancelado" not in (await talker.say("sim"))["message"], "a yes without a question does nothing"
    assert (await talker.cards())[0]["status"] == "active"


async def test_cancelling_one_of_two_cards_moves_its_balance(talker: ChatUser) -> None:
    (first,) = await talker.cards()
    second = await talker.another_card()
    await talker.recharge(first["card_number"], 700)
    which = await talker.say("2")
    assert len(which["options"]) == 2
    where = await talker.say("1")
    assert "R$ 7,00" in where["message"]
    await talker.say(where["options"][0])
    assert "cancelado" in (await talker.say("1"))["message"]
    cards = {card["card_number"]: (card["status"], card["balance"]) for card in await talker.cards()}
    assert cards == {first["card_number"]: ("cancelled", 0), second: ("active", 700)}


@pytest.mark.parametrize(("intent", "after"), [("recarregar meu cartão", "De quanto"), ("2", "Cancelar o cartão")])
async def test_a_card_is_chosen_by_its_last_digits(talker: ChatUser, intent: str, after: str) -> None:
    await talker.cards()
    second = await talker.another_card()
    assert len((await talker.say(intent))["options"]) == 2
    too_few = second[-3:] if int(second[-3:]) > 2 else "999"  # "002" is an option's number
    assert "número de uma das opções" in (await talker.say(too_few))["message"]
    assert after in (await talker.say(second[-8:]))["message"]


async def test_saving_a_document_to_its_file(talker: ChatUser) -> None:
    kinds = await talker.say("3")
    assert kinds["options"][:3] == ["1. RG", "2. CPF", "3. CNH"]
    assert "número" in (await talker.say("cpf"))["message"]
    assert "inválido" in (await talker.say("111.111.111-12"))["message"]
    file = await talker.say(CPF)
    assert "ainda não chegou" in (await talker.say("pronto"))["message"]
    document_id = file["upload"]["document_id"]
    sent = await talker.client.put(
        file["upload"]["path"],
        files={"file": ("cpf.pdf", pdf(), "application/pdf")},
        headers=talker.headers,
    )
    assert sent.status_code == 200, sent.text
    done = await talker.say("pronto", file_id=document_id)
    assert done["end_conversation"] is True
    assert "cpf.pdf" in done["message"]
    (document,) = await talker.documents()
    assert (document["id"], document["document_number"], document["version"]) == (document_id, "52998224725", 1)
    listed = (await talker.say("quais documentos eu tenho"))["message"]
    assert "CPF" in listed
    assert "52998224725" not in listed


@pytest.mark.parametrize("leave", ["voltar", "sair", "menu", None])
async def test_a_document_that_is_not_finished_leaves_nothing(talker: ChatUser, leave: str | None) -> None:
    for message in ("3", "carteira de motorista", "voltar", "cpf", CPF):
        await talker.say(message)
    assert len(await talker.documents()) == 1
    await (talker.start() if leave is None else talker.say(leave))
    assert await talker.documents() == []


async def test_a_document_may_be_saved_without_its_file(talker: ChatUser) -> None:
    for message in ("guardar um documento", "2", CPF):
        await talker.say(message)
    assert (await talker.say("sem arquivo"))["end_conversation"] is True
    assert [document["version"] for document in await talker.documents()] == [0]


async def test_another_persons_file_is_not_taken(app: RunningApp, talker: ChatUser) -> None:
    other = await app.person().post("/documents", {"document_type": "CPF", "document_number": CPF})
    for message in ("3", "2", CPF):
        await talker.say(message)
    answer = await talker.say("pronto", file_id=other.json()["id"])
    assert answer["end_conversation"] is False
    assert [document["version"] for document in await talker.documents()] == [0]


async def test_a_question_is_answered(talker: ChatUser) -> None:
    assert (await talker.say("5"))["message"] == "Qual é a sua pergunta?"
    answer = await talker.say("esqueci minha senha, e agora?")
    assert "Esqueci a senha" in answer["message"]
    assert answer["end_conversation"] is True


async def test_an_answer_offers_the_matching_act(talker: ChatUser) -> None:
    await talker.cards()
    await talker.say("5")
    answer = await talker.say("onde consulto o saldo do bilhete?")
    assert answer["options"] == ["Consultar o saldo do meu cartão"]
    assert "R$ 0,00" in (await talker.say(answer["options"][0]))["message"]


async def test_recharging(talker: ChatUser) -> None:
    await talker.cards()
    await talker.say("quero recarregar meu cartão")
    assert "reais" in (await talker.say("muito"))["message"]
    assert "R$ 20,50" in (await talker.say("R$ 20,50"))["message"]
    assert "R$ 20,50" in (await talker.say("sim"))["message"]
    assert [card["balance"] for card in await talker.cards()] == [2050]


async def test_a_key_recharges_once(talker: ChatUser) -> None:
    await talker.cards()
    for message in ("recarregar", "10"):
        await talker.say(message)
    answers = [await talker.post("/chatbot/chat", {"message": "sim"}, key="sim-1") for _ in range(2)]
    assert answers[0].json() == answers[1].json()
    assert answers[1].headers["idempotency-replayed"] == "true"
    assert [card["balance"] for card in await talker.cards()] == [1000]


async def test_benefits_balance_statement_and_the_reason_of_a_refusal(app: RunningApp, talker: ChatUser) -> None:
    assert "Não há conta" in (await talker.say("saldo dos benefícios"))["message"]
    operator = app.person("benefits:write")
    reference = f"conta-{talker.id}"
    opened = await operator.post(
        "/benefits/accounts", {"account": reference, "user_id": str(talker.id), "balances": {"FOOD": 5000}}
    )
    assert opened.status_code == 201, opened.text
    assert "Alimentação: R$ 50,00" in (await talker.say("saldo dos benefícios"))["message"]
    assert "+R$ 50,00" in (await talker.say("extrato dos benefícios"))["message"]
    async with app.database.transaction() as tx:
        await tx.execute(
            text("""
                INSERT INTO benefits_decisions (id, account_id, account, amount, mcc, merchant, fallback, code, reason,
                    category_tried, rule, short_by)
                SELECT gen_random_uuid(), id, reference, 9000, '5411', 'MERCADO DO ZE   SAO PAULO BR', true, '51',
                    'insufficient_funds', 'FOOD', 'mcc', 4000
                FROM benefits_accounts WHERE reference = :reference
            """),
            {"reference": reference},
        )
    why = (await talker.say("por que minha compra foi recusada"))["message"]
    assert "Mercado do Ze" in why
    assert "faltaram R$ 40,00" in why
    nosy = chat_user(app, "*")
    assert "Não há conta" in (await nosy.say("por que minha compra foi recusada"))["message"], (
        "claims make no difference"
    )


async def test_talking_to_a_person(app: RunningApp, talker: ChatUser) -> None:
    await talker.say("falar com atendente")
    opened = (await talker.say("Meu cartão veio com o nome errado"))["message"]
    assert "protocolo" in opened
    assert "está aberto" in (await talker.say("meu atendimento"))["message"]
    operator = app.person("assistant:read", "assistant:write")
    waiting = (await operator.get("/chatbot/tickets", open="true", limit=100)).json()["items"]
    (ticket,) = [item for item in waiting if item["user_id"] == str(talker.id)]
    assert str(ticket["number"]) in opened
    path = f"/chatbot/tickets/{ticket['id']}/answer"
    assert (await talker.post(path, {"answer": "eu mesma"})).status_code == 403
    themselves = app.person("assistant:write", user_id=talker.id)
    own = await themselves.post(path, {"answer": "eu mesma"})
    assert (own.status_code, own.json()["code"]) == (403, "own_ticket")
    assert (await operator.post(path, {"answer": "Corrigido, confira."})).status_code == 200
    assert (await operator.post(path, {"answer": "De novo."})).status_code == 409
    assert "Corrigido, confira." in (await talker.say("meu atendimento"))["message"]


@pytest.mark.parametrize(
    "answer",
    [
        "sim, mas e o meu saldo?",
        "sim se eu puder voltar atrás",
        "acho que sim",
        "sim e não",
        "pode cancelar amanhã",
        "cancela",
    ],
)
async def test_no_card_is_cancelled_on_a_mixed_answer(talker: ChatUser, answer: str) -> None:
    await talker.cards()
    await talker.say("2")
    asked_again = await talker.say(answer)
    assert asked_again["options"] == ["1. Sim, cancelar", "2. Não cancelar"]
    assert (await talker.cards())[0]["status"] == "active"
    assert "cancelado" in (await talker.say("pode sim, tchê"))["message"]


async def test_a_card_is_chosen_and_an_amount_said_in_words(talker: ChatUser) -> None:
    await talker.cards()
    await talker.another_card()
    await talker.say("recarregar")
    assert "De quanto" in (await talker.say("a segunda opção"))["message"]
    assert "R$ 20,50" in (await talker.say("vinte e cinquenta"))["message"]
    assert "feita" in (await talker.say("manda ver"))["message"]
