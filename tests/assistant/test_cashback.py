"""A reseller asks for the month's cashback: theirs only, and as it stands."""

from datetime import UTC, date, datetime
from uuid import uuid4

from carteira import resellers
from carteira.assistant.conversation import Assistant
from carteira.assistant.model_cache import ModelCache
from carteira.kit.db.session import Tx
from carteira.kit.values.clock import clock
from carteira.kit.web.access import Principal
from carteira.resellers import months, service
from carteira.resellers.resellers import add
from carteira.resellers.schemas import PurchaseIn
from tests.assistant.support import Talker
from tests.resellers.support import new_cpf
from tests.served import Served

QUESTION = "quanto ganhei de cashback esse mês?"


async def reseller(served: Served, *claims: str) -> tuple[Talker, str]:
    talker, cpf = Talker(served.sign_in(resellers.CLAIM, *claims)), new_cpf()
    async with served.database.transaction() as tx:
        await add(tx, talker.id, cpf)
    return talker, cpf


async def buy(talker: Talker, cpf: str, amount: int) -> None:
    purchase = {"code": f"NF-{uuid4().hex}", "amount": amount, "date": clock.today().isoformat(), "cpf": cpf}
    bought = await talker.someone.post("/purchases", purchase)
    assert bought.status_code == 201, bought.text


async def test_this_month_of_mine(served: Served) -> None:
    talker, cpf = await reseller(served)
    assert "não registrou compras" in (await talker.say(QUESTION))["message"]
    await buy(talker, cpf, 70_000)
    await buy(talker, cpf, 50_001)
    answer = await talker.say(QUESTION)
    assert answer["end_conversation"] is True
    for told in ("R$ 180,00", "R$ 1.200,01 (R$ 1.200,01 em validação)", "15%", "aberto"):
        assert told in answer["message"]


async def test_who_reads_everybodys_purchases_hears_of_their_own_only(served: Served) -> None:
    other, cpf = await reseller(served)
    await buy(other, cpf, 98_765)
    operator, _ = await reseller(served, "*")
    assert "não registrou compras" in (await operator.say(QUESTION))["message"]


async def test_who_is_no_reseller_is_told_how_to_become_one(served: Served, talker: Talker) -> None:
    without_claim = Talker(served.sign_in())
    async with served.database.transaction() as tx:
        await add(tx, without_claim.id, new_cpf())
    for person in (talker, Talker(served.sign_in("*")), without_claim):
        answer = await person.say(QUESTION)
        assert "ainda não é revendedor" in answer["message"]
        assert "conta aberta" in (await person.say(answer["options"][0]))["message"]


async def test_the_last_month_once_it_is_closed(tx: Tx) -> None:
    clock.set(datetime(2031, 6, 10, 12, tzinfo=UTC))
    who, cpf = Principal(uuid4(), frozenset({resellers.CLAIM})), new_cpf()
    await add(tx, who.user_id, cpf)
    purchase = {"code": "NF-1", "amount": 200_000, "date": "2031-05-31", "cpf": cpf}
    bought = await service.register(tx, who, PurchaseIn.model_validate(purchase))
    await service.approve(tx, Principal(uuid4(), frozenset({"*"})), bought.id)
    await months.close(tx, date(2031, 5, 1), None)
    assistant = Assistant(ModelCache(vectors=False), frozenset({"resellers"}), None)
    last = (await assistant.chat(tx, who, "quanto ganhei de cashback mês passado")).message
    assert "maio de 2031: R$ 400,00" in last
    assert "fechado em 10/06/2031" in last
    assert "junho de 2031" in (await assistant.chat(tx, who, QUESTION)).message
