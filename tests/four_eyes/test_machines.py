"""The person who made a client or its credential does not count as a second person beside it, in either order."""

from datetime import date
from uuid import uuid4

import pytest

from tests.four_eyes.world import LIMIT, World, approve, credit, propose
from tests.support.machines import Machine, acting, new_acting, new_machine
from tests.support.people import Person
from tests.support.resellers import Buyer, approved_purchase, new_operator, new_reseller

MAY, DAY = "2026-05", date(2026, 5, 4)
SELLS = ("purchases:read", "purchases:write", "purchases:approve")


def administrator(world: World, like: Person | None = None) -> Person:
    """Return somebody who makes clients, and may do everything else too."""
    return world.app.person("*", user_id=like.id if like else uuid4())


async def handed(giver: Person, machine: Machine) -> None:
    """Have somebody be handed a credential of a client."""
    answer = await giver.post(f"/clients/{machine.id}/credentials", {"overlap_hours": 1})
    assert answer.status_code == 201, answer.text


async def registered(who: Person, reseller: Buyer) -> str:
    answer = await who.post("/purchases", reseller.purchase(LIMIT, DAY, cpf=reseller.cpf))
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


@pytest.mark.parametrize("first", ["person", "machine"])
async def test_a_purchase_is_registered_and_approved_by_two_people(world: World, first: str) -> None:
    """One operator's own client registers the purchase that they approve, or approves the one that they registered."""
    operator = administrator(world)
    machine = await new_acting(operator, *SELLS)
    maker, checker = (operator, machine) if first == "person" else (machine, operator)
    bought = await registered(maker, await new_reseller(world.app))
    for who in (maker, checker):
        refused = await who.post(f"/purchases/{bought}/approve")
        assert (refused.status_code, refused.json()["code"]) == (403, "own_operation"), refused.text
    other = await new_acting(administrator(world), *SELLS)
    assert (await other.post(f"/purchases/{bought}/approve")).status_code == 200


async def test_two_clients_of_one_person_are_one(world: World) -> None:
    operator = administrator(world)
    one, other = [await new_acting(operator, *SELLS) for _ in range(2)]
    bought = await registered(one, await new_reseller(world.app))
    assert (await other.post(f"/purchases/{bought}/approve")).json()["code"] == "own_operation"


async def test_a_reseller_decides_nothing_of_their_own_through_a_client(world: World) -> None:
    """By user or by CPF, a purchase, an adjustment and an automatic approval."""
    reseller = await new_reseller(world.app)
    await approved_purchase(world.app, reseller, LIMIT, date(2026, 4, 3))
    machine = await new_acting(administrator(world, like=reseller), *SELLS)
    bought = await registered(new_operator(world.app), reseller)
    april = {"cpf": reseller.cpf, "month": "2026-04", "amount": 500, "reason": "Nota"}
    await new_operator(world.app).post("/cashback/months/2026-04/close")
    for path, body in (
        (f"/purchases/{bought}/approve", None),
        ("/cashback/adjustments", april),
        ("/cashback/auto-approvals", {"cpf": reseller.cpf, "valid_from": MAY}),
    ):
        refused = await machine.post(path, body)
        assert (refused.status_code, refused.json()["code"]) == (403, "own_operation"), (path, refused.text)
    booked = await new_operator(world.app).post("/cashback/adjustments", april)
    assert booked.status_code == 201, booked.text
    path = f"/cashback/adjustments/{booked.json()['id']}/undo"
    assert (await machine.post(path)).json()["code"] == "own_operation"


async def test_holders_of_a_credential_do_not_approve_the_clients_operations(world: World) -> None:
    """Above the limit: whoever holds a credential of the purchase's client does not approve it."""
    machine = await new_machine(administrator(world), *SELLS)
    reseller, successor = await new_reseller(world.app), administrator(world)
    await handed(successor, machine)
    answer = await (await acting(world.app.client, machine)).post(
        "/purchases", reseller.purchase(LIMIT + 1, DAY, cpf=reseller.cpf)
    )
    waits = await new_operator(world.app).post(f"/purchases/{answer.json()['id']}/approve")
    operation = waits.json()["pending"]["id"]
    assert (await approve(successor, operation)).json()["code"] == "own_operation"
    assert (await approve(world.checker(), operation)).status_code == 200


async def test_no_creator_of_a_client_approves_its_operation(world: World) -> None:
    maker, successor = administrator(world), administrator(world)
    machine = await new_machine(maker, "benefits:read", "benefits:write")
    await handed(successor, machine)
    gainer = await world.gainer()
    attempt = await credit(world, LIMIT + 1, {"user_id": str(gainer.id)})
    operation = await propose(await acting(world.app.client, machine), attempt)
    for who in (maker, successor, gainer):
        assert (await approve(who, operation)).json()["code"] == "own_operation"
    assert (await approve(world.checker(), operation)).status_code == 200
