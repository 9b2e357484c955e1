"""An operator reads their own limits in figures beside what they are about to return."""

from tests.four_eyes.world import DAILY, LIMIT, World
from tests.support.console import desk_of
from tests.support.people import new_cpf


async def test_limits_and_what_is_left_of_today_stand_beside_a_return(world: World) -> None:
    assert (LIMIT, DAILY) == (10_000, 100_000)
    account = await world.open({"cpf": new_cpf()}, balance=5_000)
    bought = await world.buy(account, 5_000)
    async with desk_of(world.app, "administrador") as browser:
        home = f"/console/autorizacoes/{bought}"
        asked = await browser.get(f"{home}/devolver")
        assert asked.facts["Você faz sem outra pessoa"] == "até R$ 100,00"
        assert asked.facts["Ainda pode hoje"] == "R$ 1.000,00 de R$ 1.000,00"
        done = await browser.send(asked, f"{home}/devolver", None, amount="20,00")
        assert done.status == 303
        again = await browser.get(f"{home}/devolver")
        assert again.facts["Ainda pode hoje"] == "R$ 980,00 de R$ 1.000,00"
        whole = await browser.get(f"{home}/estornar")
        assert whole.facts["Ainda pode hoje"] == "R$ 1.000,00 de R$ 1.000,00", "reversals have a limit of their own"
