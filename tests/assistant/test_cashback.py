"""A reseller asks for the month's cashback and gets their own, as it stands."""

from datetime import UTC, date, datetime
from uuid import uuid4

from carteira import resellers
from carteira.assistant.conversation import Assistant
from carteira.assistant.model_cache import ModelCache
from carteira.kit.db.session import Tx
from carteira.kit.security.approvals import Act
from carteira.kit.values.actor import Actor
from carteira.kit.values.clock import clock
from carteira.kit.web.access import Principal
from carteira.resellers import months, service
from carteira.resellers.resellers import add
from carteira.resellers.schemas import PurchaseIn
from tests.support.app import RunningApp
from tests.support.chat import ChatUser, chat_user
from tests.support.ledger import TESTER
from tests.support.people import new_cpf

QUESTION = "quanto ganhei de cashback esse mês?"


async def reseller(app: RunningApp, *claims: str) -> tuple[ChatUser, str]:
    talker, cpf = chat_user(app, resellers.CLAIM, *claims), new_cpf()
    async with app.database.transaction() as tx:
        await add(tx, talker.id, cpf)
    return talker, cpf


async def buy(talker: ChatUser, cpf: str, amount: int) -> None:
    purchase = {"code": f"NF-{uuid4().hex}", "amount": amount, "date": clock.today().isoformat(), "cpf": cpf}
    bought = await talker.post("/purchases", purchase)
    assert bought.status_code == 201, bought.text


async def test_a_resellers_present_month(app: RunningApp) -> None:
    talker, cpf = await reseller(app)
    assert "não registrou compras" in (await talker.say(QUESTION))["message"]
    await buy(talker, cpf, 70_000)
    await buy(talker, cpf, 50_001)
    answer = await talker.say(QUESTION)
    assert answer["end_conversation"] is True
    for told in ("R$ 180,00", "R$ 1.200,01 (R$ 1.200,01 em validação)", "15%", "aberto"):
        assert told in answer["message"]


async def test_an_operator_of_purchases_gets_their_own_month_only(app: RunningApp) -> None:
    other, cpf = await reseller(app)
    await buy(other, cpf, 98_765)
    operator, _ = await reseller(app, "*")
    assert "não registrou compras" in (await operator.say(QUESTION))["message"]


async def test_a_person_who_is_no_reseller_reads_how_to_become_one(app: RunningApp, talker: ChatUser) -> None:
    without_claim = chat_user(app)
    async with app.database.transaction() as tx:
        await add(tx, without_claim.id, new_cpf())
    for person in (talker, chat_user(app, "*"), without_claim):
        answer = await person.say(QUESTION)
        assert "ainda não é revendedor" in answer["message"]
        assert "conta aberta" in (await person.say(answer["options"][0]))["message"]


async def test_a_resellers_last_month_after_its_close(tx: Tx) -> None:
    clock.set(datetime(2031, 6, 10, 12, tzinfo=UTC))
    who, cpf = Principal(uuid4(), frozenset({resellers.CLAIM})), new_cpf()
    await add(tx, who.user_id, cpf)
    purchase = {"code": "NF-1", "amount": 200_000, "date": "2031-05-31", "cpf": cpf}
    bought = await service.register(tx, "allow", who, PurchaseIn.model_validate(purchase))
    await service.approve(tx, bought.id, Act(Actor.person(uuid4())))
    await months.close(tx, date(2031, 5, 1), actor=TESTER)
    assistant = Assistant(ModelCache(vectors=False), frozenset({"resellers"}), None)
    last = (await assistant.chat(tx, who, "quanto ganhei de cashback mês passado")).message
    assert "maio de 2031: R$ 400,00" in last
    assert "fechado em 10/06/2031" in last
    assert "junho de 2031" in (await assistant.chat(tx, who, QUESTION)).message
