import asyncio
from uuid import uuid4

import pytest

from carteira import ledger, transit
from carteira.kit.db.engine import Database
from tests.support.app import RunningApp
from tests.support.people import Person


async def first_card(person: Person) -> str:
    answer = await person.get("/transport-cards")
    assert answer.status_code == 200, answer.text
    number: str = answer.json()["items"][0]["card_number"]
    return number


async def charged(app: RunningApp, amount: int) -> tuple[Person, str]:
    person = app.person()
    number = await first_card(person)
    if amount:
        answer = await person.post(f"/transport-cards/{number}/recharge", {"amount": amount})
        assert answer.json() == {"card_number": number, "new_balance": amount}
    return person, number


async def test_the_first_read_creates_a_card(app: RunningApp) -> None:
    person = app.person()
    looks = await asyncio.gather(*(person.get("/transport-cards") for _ in range(10)))
    pages = [look.json() for look in looks]
    assert all(page == pages[0] for page in pages)
    (card,) = pages[0]["items"]
    assert card == {
        "id": card["id"],
        "user_id": str(person.id),
        "card_number": card["card_number"],
        "balance": 0,
        "status": "active",
    }


async def test_more_cards_on_request_beside_the_first(app: RunningApp) -> None:
    person = app.person()
    issued = await person.post("/transport-cards", key="k1")
    assert issued.status_code == 201
    again = await person.post("/transport-cards", key="k1")
    assert again.json() == issued.json()
    assert again.headers["idempotency-replayed"] == "true"
    listed = (await person.get("/transport-cards", limit=1)).json()
    rest = (await person.get("/transport-cards", limit=1, cursor=listed["next_cursor"])).json()
    assert rest["next_cursor"] is None
    assert [item["id"] for item in rest["items"]] == [issued.json()["id"]]


async def test_no_more_than_twenty_cards(app: RunningApp) -> None:
    person = app.person()
    answers = await asyncio.gather(*(person.post("/transport-cards") for _ in range(25)))
    assert sorted(answer.status_code for answer in answers) == [201] * 19 + [409] * 6


async def test_recharge_debit_balance_history(app: RunningApp) -> None:
    person, number = await charged(app, 1000)
    debited = await person.post(f"/transport-cards/{number}/debit", {"amount": 470})
    assert debited.json() == {"card_number": number, "new_balance": 530}
    assert (await person.get(f"/transport-cards/{number}/balance")).json() == {"card_number": number, "balance": 530}
    page = (await person.get(f"/transport-cards/{number}/history", limit=1)).json()
    older = (await person.get(f"/transport-cards/{number}/history", limit=1, cursor=page["next_cursor"])).json()
    lines = page["items"] + older["items"]
    assert [(line["type"], line["amount"], line["direction"], line["balance_after"]) for line in lines] == [
        ("debit", 470, "out", 530),
        ("recharge", 1000, "in", 1000),
    ]
    assert older["next_cursor"] is None


async def test_a_key_moves_money_once(app: RunningApp) -> None:
    person, number = await charged(app, 0)
    path = f"/transport-cards/{number}/recharge"
    answers = await asyncio.gather(*(person.post(path, {"amount": 500}, key="once") for _ in range(8)))
    assert {answer.text for answer in answers} == {f'{{"card_number":"{number}","new_balance":500}}'}
    other = await person.post(path, {"amount": 501}, key="once")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


async def test_a_refused_debit_is_refused_again_under_its_key(app: RunningApp) -> None:
    person, number = await charged(app, 0)
    path = f"/transport-cards/{number}/debit"
    refused = await person.post(path, {"amount": 500}, key="refused")
    assert refused.status_code == 400
    assert refused.json()["detail"] == "Saldo insuficiente para realizar o débito"
    assert refused.json()["code"] == "insufficient_funds"
    await person.post(f"/transport-cards/{number}/recharge", {"amount": 500})
    again = await person.post(path, {"amount": 500}, key="refused")
    assert (again.status_code, again.headers.get("idempotency-replayed")) == (400, "true")
    assert (await person.get(f"/transport-cards/{number}/balance")).json()["balance"] == 500


@pytest.mark.parametrize("amount", [0, -100, 1.5, "100", True, None, 10**12 + 1])
async def test_amounts_are_positive_centavos(app: RunningApp, amount: object) -> None:
    person, number = await charged(app, 0)
    for verb in ("recharge", "debit"):
        assert (await person.post(f"/transport-cards/{number}/{verb}", {"amount": amount})).status_code == 422


async def test_another_persons_card_is_403_and_an_unknown_one_404(app: RunningApp) -> None:
    owner, number = await charged(app, 1000)
    stranger = app.person()
    mine = await first_card(stranger)
    for card, status in ((number, 403), ("9076000000000000", 404), ("abc", 404), ("%00", 404)):
        answers = [
            await stranger.get(f"/transport-cards/{card}/balance"),
            await stranger.get(f"/transport-cards/{card}/history"),
            await stranger.post(f"/transport-cards/{card}/recharge", {"amount": 1}),
            await stranger.post(f"/transport-cards/{card}/debit", {"amount": 1}),
            await stranger.post(f"/transport-cards/{card}/cancel"),
            await stranger.post(f"/transport-cards/{card}/block"),
            await stranger.post(f"/transport-cards/{card}/unblock"),
        ]
        assert [answer.status_code for answer in answers] == [status] * 7
    stolen = await stranger.post(f"/transport-cards/{mine}/cancel", {"move_balance_to": number})
    assert stolen.status_code == 403
    assert (await owner.get(f"/transport-cards/{number}/balance")).json()["balance"] == 1000


async def test_no_route_without_a_token(app: RunningApp) -> None:
    assert (await app.client.get("/transport-cards")).status_code == 401


async def test_a_cancelled_card_neither_recharges_nor_debits_and_its_balance_moves_once(app: RunningApp) -> None:
    person, number = await charged(app, 1000)
    target = (await person.post("/transport-cards")).json()["card_number"]
    cancelled = await person.post(f"/transport-cards/{number}/cancel")
    assert (cancelled.json()["status"], cancelled.json()["balance"]) == ("cancelled", 1000)
    for verb in ("recharge", "debit"):
        refused = await person.post(f"/transport-cards/{number}/{verb}", {"amount": 1})
        assert (refused.status_code, refused.json()["code"]) == (409, "card_not_active")
    assert (await person.post(f"/transport-cards/{number}/cancel")).json()["code"] == "card_cancelled"
    moves = await asyncio.gather(
        *(person.post(f"/transport-cards/{number}/cancel", {"move_balance_to": target}) for _ in range(5))
    )
    assert [move.json()["balance"] for move in moves] == [0] * 5
    assert (await person.get(f"/transport-cards/{target}/balance")).json()["balance"] == 1000
    (line,) = (await person.get(f"/transport-cards/{target}/history")).json()["items"]
    assert (line["type"], line["direction"]) == ("transfer", "in")


async def test_a_balance_moves_only_to_another_active_card(app: RunningApp) -> None:
    person, number = await charged(app, 1000)
    same = await person.post(f"/transport-cards/{number}/cancel", {"move_balance_to": number})
    assert (same.status_code, same.json()["code"]) == (422, "same_card")
    blocked = (await person.post("/transport-cards")).json()["card_number"]
    await person.post(f"/transport-cards/{blocked}/block")
    refused = await person.post(f"/transport-cards/{number}/cancel", {"move_balance_to": blocked})
    assert (refused.status_code, refused.json()["code"]) == (409, "card_not_active")
    (card, _) = (await person.get("/transport-cards")).json()["items"]
    assert (card["status"], card["balance"]) == ("active", 1000)


async def test_a_lost_card_is_blocked_and_unblocked(app: RunningApp) -> None:
    person, number = await charged(app, 1000)
    for _ in range(2):
        assert (await person.post(f"/transport-cards/{number}/block")).json()["status"] == "blocked"
    assert (await person.post(f"/transport-cards/{number}/debit", {"amount": 1})).status_code == 409
    for _ in range(2):
        assert (await person.post(f"/transport-cards/{number}/unblock")).json()["status"] == "active"
    assert (await person.post(f"/transport-cards/{number}/debit", {"amount": 1})).status_code == 200
    await person.post(f"/transport-cards/{number}/cancel")
    assert (await person.post(f"/transport-cards/{number}/unblock")).json()["code"] == "card_cancelled"


async def test_two_hundred_concurrent_debits_spend_the_balance_and_no_more(app: RunningApp) -> None:
    person, number = await charged(app, 1000)
    answers = await asyncio.gather(
        *(person.post(f"/transport-cards/{number}/debit", {"amount": 100}) for _ in range(200))
    )
    refused = [answer.json()["detail"] for answer in answers if answer.status_code == 400]
    assert sum(answer.status_code == 200 for answer in answers) == 10
    assert refused == ["Saldo insuficiente para realizar o débito"] * 190
    assert (await person.get(f"/transport-cards/{number}/balance")).json()["balance"] == 0
    lines = (await person.get(f"/transport-cards/{number}/history", limit=100)).json()["items"]
    assert [line["type"] for line in lines] == ["debit"] * 10 + ["recharge"]
    assert sum(line["amount"] * (1 if line["direction"] == "in" else -1) for line in lines) == 0
    async with app.database.transaction() as tx:
        assert (await ledger.reconcile(tx)).differences == []


async def test_recharges_debits_and_a_cancellation_at_once_lose_nothing(app: RunningApp) -> None:
    person, number = await charged(app, 5000)
    target = (await person.post("/transport-cards")).json()["card_number"]
    answers = await asyncio.gather(
        *(person.post(f"/transport-cards/{number}/recharge", {"amount": 300}) for _ in range(20)),
        *(person.post(f"/transport-cards/{number}/debit", {"amount": 200}) for _ in range(20)),
        person.post(f"/transport-cards/{number}/cancel", {"move_balance_to": target}),
    )
    *moves, cancelled = answers
    assert cancelled.status_code == 200
    assert {move.status_code for move in moves} <= {200, 409}
    put = sum(300 for move in moves[:20] if move.status_code == 200)
    taken = sum(200 for move in moves[20:] if move.status_code == 200)
    cards = (await person.get("/transport-cards")).json()["items"]
    assert [card["balance"] for card in cards] == [0, 5000 + put - taken]


async def test_a_person_with_a_balance_is_not_erased_and_one_without_is(app: RunningApp, database: Database) -> None:
    person, number = await charged(app, 700)
    with pytest.raises(transit.BalanceRemains):
        async with database.transaction() as tx:
            await transit.refuse_erasure(tx, person.id)
    async with database.transaction() as tx:
        exported = await transit.export_person(tx, person.id)
    assert exported["cards"][0]["card_number"] == number
    assert exported["cards"][0]["balance"] == 700
    await person.post(f"/transport-cards/{number}/debit", {"amount": 700})
    async with database.transaction() as tx:
        await transit.refuse_erasure(tx, person.id)
        await transit.erase_person(tx, person.id)
    async with database.transaction() as tx:
        assert await transit.export_person(tx, person.id) == {"cards": [], "rides": []}
        assert await ledger.accounts_of_owner(tx, person.id) == []
        await transit.erase_person(tx, uuid4())
