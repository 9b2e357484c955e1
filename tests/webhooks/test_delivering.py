"""Events are delivered to those who may read them, signed, at least once, whatever the endpoint does."""

import socket
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from sqlalchemy import text
from standardwebhooks.webhooks import WebhookVerificationError

from carteira.kit.outbound import targets
from carteira.webhooks import CATALOG, maintenance, service
from tests.support.app import RunningApp
from tests.support.benefits import AUTHORIZER, processor_headers, purchase
from tests.support.machines import acting, new_acting, new_machine
from tests.support.people import Person, new_cpf
from tests.support.receiver import Received, Receiver
from tests.support.webhooks import KEEPS, WEBHOOKS, Hook, add_hook, new_hook, open_account, pass_time

DECIDED, RETURNED = "benefits.transaction_decided", "benefits.transaction_returned"
CREDITED, OPENED = "benefits.credited", "benefits.account_opened"
REGISTERED = "identity.person_registered"


async def test_events_are_sent_signed_with_ids(app: RunningApp, operator: Person, receiver: Receiver) -> None:
    hook = await new_hook(operator, receiver.url + "?de=carteira", OPENED, CREDITED, DECIDED, RETURNED)
    account = await open_account(operator, cpf=new_cpf(), name="Maria da Silva")
    entry = (await operator.post(f"/benefits/accounts/{account}/credits", {"category": "FOOD", "amount": 700})).json()
    bulk = [{"account": account, "category": "MEAL", "amount": amount} for amount in (1, 2)]
    assert (await operator.post("/benefits/credits", bulk)).status_code == 200
    answer = await app.client.post(AUTHORIZER, content=purchase(account), headers=processor_headers())
    assert answer.json() == {"code": "00"}
    [decision] = (await operator.get("/transactions", account=account)).json()["items"]
    assert (await operator.post(f"/transactions/{decision['id']}/refund", {"amount": 10})).status_code == 201

    await app.work_off()

    told = [one.verified(hook.secret) for one in receiver.requests]
    by_type = {str(one["type"]): one["data"] for one in told}
    assert len(told) == len({one.id for one in receiver.requests}) == 6
    assert all(set(data) == set(CATALOG[name].data) for name, data in by_type.items())  # type: ignore[call-overload] # JSON
    assert by_type[DECIDED] == {
        "transaction_id": decision["id"],
        "reference": decision["reference"],
        "account": account,
        "employer_id": by_type[OPENED]["employer_id"],  # type: ignore[index] # JSON
        "amount": decision["amount"],
        "code": "00",
        "category": decision["category_used"],
    }
    assert sorted(one["data"]["amount"] for one in told if one["type"] == CREDITED) == [1, 2, 700]  # type: ignore[index] # JSON
    assert entry["entry_id"] in {one["data"].get("entry_id") for one in told}  # type: ignore[attr-defined] # JSON
    first = receiver.requests[0]
    assert (first.target, first.headers["content-type"]) == ("/carteira?de=carteira", "application/json")
    assert all(one["state"] == "delivered" for one in await hook.deliveries())
    assert not any("Maria" in one.body.decode() for one in receiver.requests)
    with pytest.raises(WebhookVerificationError):
        Received(first.target, first.headers, first.body + b" ").verified(hook.secret)


async def test_a_client_receives_events_of_its_claims_and_employers(
    app: RunningApp, operator: Person, receiver: Receiver
) -> None:
    a, b = [
        (await operator.post("/benefits/employers", {"cnpj": cnpj, "name": "Padaria"})).json()["id"]
        for cnpj in ("11.222.333/0001-81", "12.abc.345/01de-35")
    ]
    bound = await new_acting(operator, "benefits:read", *KEEPS)
    assert (await operator.call("PUT", f"/benefits/employers/{a}/members/{bound.id}")).status_code == 200
    hook = await add_hook(bound, receiver.url, OPENED)
    theirs, _others = await open_account(operator, employer_id=a), await open_account(operator, employer_id=b)
    await app.work_off()
    assert [one.verified(hook.secret)["data"]["account"] for one in receiver.requests] == [theirs]  # type: ignore[index] # JSON
    receiver.forget()

    # A waiting delivery is checked again when it is sent.
    receiver.answer = lambda _request: "500 Internal Server Error"
    await open_account(operator, employer_id=a)
    await app.work_off()
    assert len(receiver.requests) == 1
    assert (await operator.call("PUT", f"/clients/{bound.id}/claims", json={"claims": [*KEEPS]})).status_code == 200
    await pass_time(app)
    await open_account(operator, employer_id=a)
    await app.work_off()
    assert len(receiver.requests) == 1
    assert [one["last_error"] for one in await hook.deliveries(state="dead")] == ["not_allowed"]


async def test_unsubscribed_events_are_neither_sent_nor_replayed(
    app: RunningApp, operator: Person, receiver: Receiver
) -> None:
    """A client that may no longer read events could otherwise move its endpoint and have old events sent again."""
    machine = await new_machine(operator, "benefits:read", "users:read", *KEEPS)
    hook = await add_hook(await acting(operator.client, machine), receiver.url, OPENED, REGISTERED)
    await open_account(operator)
    await app.work_off()
    assert [one.content["type"] for one in receiver.requests] == [OPENED]
    receiver.answer = lambda _request: "500 Internal Server Error"
    await open_account(operator)
    await app.work_off()
    changed = await hook.client.call("PATCH", hook.path, json={"events": [REGISTERED]})
    assert changed.status_code == 200, changed.text
    receiver.forget()
    receiver.answer = lambda _request: "204 No Content"

    keeper = app.person("users:read", *KEEPS)
    assert (await keeper.call("PATCH", hook.path, json={"url": f"{receiver.url}?keeper"})).status_code == 200
    since = {"since": (datetime.now(UTC) - timedelta(hours=1)).isoformat()}
    assert (await keeper.post(f"{hook.path}/replay", since)).json()["replayed"] == 0
    for one in await hook.deliveries():
        answer = await keeper.post(f"{hook.path}/deliveries/{one['message_id']}/replay")
        assert (answer.status_code, answer.json()["code"]) == (404, "delivery_not_found")
    await pass_time(app)
    await app.work_off()
    assert receiver.requests == []
    assert [one["last_error"] for one in await hook.deliveries(state="dead")] == ["not_subscribed"]
    assert (await keeper.post(f"{hook.path}/test")).status_code == 202
    await app.work_off()
    assert [one.content["type"] for one in receiver.requests] == ["webhook.test"]


async def test_a_delivery_about_a_person_counts_as_a_look(
    app: RunningApp, operator: Person, receiver: Receiver
) -> None:
    hook = await new_hook(operator, receiver.url, OPENED)
    user_id = uuid4()
    await open_account(operator, user_id=str(user_id))
    await app.work_off()
    assert receiver.requests
    query = text("SELECT actor_id FROM audit_log WHERE action = 'webhook_told' AND subject_id = :user_id AND look")
    async with app.database.transaction() as tx:
        assert list(await tx.scalars(query, {"user_id": user_id})) == [hook.client.id]


async def test_a_failed_delivery_comes_again_and_a_late_one_is_dead_and_replayed(
    app: RunningApp, operator: Person, receiver: Receiver
) -> None:
    hook = await new_hook(operator, receiver.url, OPENED)
    receiver.answer = lambda _request: "500 Internal Server Error"
    await open_account(operator)
    await app.work_off()
    await app.work_off()
    [waits] = await hook.deliveries(state="waiting")
    assert (waits["attempts"], waits["last_status"], waits["last_error"]) == (1, 500, "status_500")
    assert waits["next_attempt_at"] > waits["last_attempt_at"]
    await pass_time(app)
    await app.work_off()
    [waits] = await hook.deliveries()
    assert waits["attempts"] == 2
    assert receiver.requests[0].id == receiver.requests[1].id == waits["message_id"]

    async with app.database.transaction() as tx:
        await tx.execute(text("UPDATE webhook_deliveries SET retry_until = now() WHERE state = 'waiting'"))
    await pass_time(app)
    await app.work_off()
    assert len(receiver.requests) == 2
    [dead] = await hook.deliveries(state="dead")
    assert dead["next_attempt_at"] is None

    receiver.answer = lambda _request: "200 OK"
    assert (await hook.client.post(f"{hook.path}/deliveries/{dead['message_id']}/replay")).status_code == 202
    await app.work_off()
    assert receiver.requests[2].verified(hook.secret)["type"] == OPENED
    assert receiver.requests[2].id == dead["message_id"]
    since = {"since": (datetime.now(UTC) - timedelta(hours=1)).isoformat()}
    again = await hook.client.post(f"{hook.path}/replay", since)
    assert again.json() == {"replayed": 1, "more": False, "next_since": None}
    assert (await hook.client.post(f"{hook.path}/replay", since | {"state": "dead"})).json()["replayed"] == 0
    await app.work_off()
    assert len(receiver.requests) == 4
    unknown = await hook.client.post(f"{hook.path}/deliveries/{uuid4()}/replay")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "delivery_not_found")


async def test_a_replay_of_more_than_it_takes_at_once_goes_on_where_it_stood(
    app: RunningApp, operator: Person, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "REPLAYED", 2)
    hook = await new_hook(operator, receiver.url, OPENED)
    since = datetime.now(UTC).isoformat()
    for _ in range(5):
        await open_account(operator)
    await app.work_off()
    told = {one.id for one in receiver.requests}
    assert len(told) == 5
    receiver.forget()
    for _ in range(5):
        answer = (await hook.client.post(f"{hook.path}/replay", {"since": since})).json()
        await app.work_off()
        if not answer["more"]:
            break
        assert answer["replayed"] == 2
        since = answer["next_since"]
    assert (answer["more"], answer["next_since"]) == (False, None)
    assert {one.id for one in receiver.requests} == told


async def test_an_endpoint_that_is_down_is_tried_by_one_delivery_and_then_has_them_all(
    app: RunningApp, operator: Person, receiver: Receiver
) -> None:
    hook = await new_hook(operator, receiver.url, OPENED)
    receiver.answer = lambda _request: "503 Service Unavailable\r\nRetry-After: 77"
    for _ in range(3):
        await open_account(operator)
        await app.work_off()
    assert len(receiver.requests) == 1
    paused_until = datetime.fromisoformat((await hook.shown())["paused_until"])
    assert paused_until - datetime.now(UTC) > timedelta(seconds=60)
    await pass_time(app)
    await app.work_off()
    assert len(receiver.requests) == 2
    receiver.answer = lambda _request: "204 No Content"
    await pass_time(app)
    await app.work_off()
    assert len({one.id for one in receiver.requests}) == 3
    assert {one["state"] for one in await hook.deliveries()} == {"delivered"}
    assert (await hook.shown())["paused_until"] is None


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ("300 Multiple Choices\r\nLocation: http://127.0.0.1:1/", "status_300"),
        ("302 Found\r\nLocation: /elsewhere", "status_302"),
        ("308 Permanent Redirect\r\nLocation: /elsewhere", "status_308"),
        ("no status", "not_http"),
    ],
)
async def test_no_redirect_is_followed(
    app: RunningApp, operator: Person, receiver: Receiver, answer: str, error: str
) -> None:
    hook = await new_hook(operator, receiver.url, OPENED)
    receiver.answer = lambda _request: answer
    await open_account(operator)
    await app.work_off()
    assert [one.target for one in receiver.requests] == ["/carteira"]
    assert [one["last_error"] for one in await hook.deliveries()] == [error]


async def test_an_endpoint_that_is_gone_is_disabled(app: RunningApp, operator: Person, receiver: Receiver) -> None:
    hook = await new_hook(operator, receiver.url, OPENED)
    receiver.answer = lambda _request: "410 Gone"
    await open_account(operator)
    await app.work_off()
    shown = await hook.shown()
    assert (shown["state"], shown["disabled_by"]) == ("disabled", "gone")
    await open_account(operator)
    await app.work_off()
    assert len(receiver.requests) == 1
    assert {one["state"] for one in await hook.deliveries()} == {"dead"}
    assert (await hook.client.post(f"{hook.path}/test")).json()["code"] == "webhook_disabled"
    receiver.answer = lambda _request: "204 No Content"
    enabled = await hook.client.call("PATCH", hook.path, json={"state": "enabled"})
    assert (enabled.json()["state"], enabled.json()["disabled_by"]) == ("enabled", None)
    assert (await hook.client.post(f"{hook.path}/test")).status_code == 202
    await app.work_off()
    assert receiver.requests[-1].verified(hook.secret)["data"] == {"webhook_id": hook.id}


async def test_two_secrets_are_valid_during_a_rotation(app: RunningApp, operator: Person, receiver: Receiver) -> None:
    hook = await new_hook(operator, receiver.url, OPENED)
    second = (await hook.client.post(f"{hook.path}/secrets", {"overlap_hours": 1})).json()["secret"]
    refused = await hook.client.post(f"{hook.path}/secrets", {"overlap_hours": 1})
    assert (refused.status_code, refused.json()["code"]) == (409, "too_many_webhook_secrets")
    await hook.client.post(f"{hook.path}/test")
    await app.work_off()
    assert receiver.requests[0].verified(hook.secret) == receiver.requests[0].verified(second)

    third = (await hook.client.post(f"{hook.path}/secrets", {"overlap_hours": 0})).json()["secret"]
    await hook.client.post(f"{hook.path}/test")
    await app.work_off()
    receiver.requests[1].verified(third)
    for former in (hook.secret, second):
        with pytest.raises(WebhookVerificationError):
            receiver.requests[1].verified(former)
    async with app.database.transaction() as tx:
        kept = (await tx.execute(text("SELECT sealed FROM webhook_secrets"))).scalars().all()
    assert not any(third.encode() in bytes(one) for one in kept)


async def test_a_name_of_a_private_address_is_refused_and_resolved_at_each_try(
    app: RunningApp, operator: Person, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name resolves to a public address when it is stored, to this machine at the call, then to a receiver."""
    leads_to = ["127.0.0.2"]
    asked: list[str] = []

    def look_up(host: str, _port: int) -> list[str]:
        asked.append(host)
        return leads_to

    monkeypatch.setattr(targets, "_resolve_name", look_up)
    monkeypatch.setattr(targets.Targets, "_is_called", lambda _self, address: str(address) == "127.0.0.1")
    hook = await new_hook(operator, f"http://erp.exemplo.com.br:{receiver.port}/", OPENED)
    await open_account(operator)
    await app.work_off()
    assert [one["last_error"] for one in await hook.deliveries()] == ["name"]
    leads_to[:] = ["127.0.0.1", "127.0.0.2"]  # one good address does not make the other good
    await pass_time(app)
    await app.work_off()
    assert not receiver.requests
    leads_to[:] = ["127.0.0.1"]
    await pass_time(app)
    await app.work_off()
    [request] = receiver.requests
    assert request.headers["host"] == f"erp.exemplo.com.br:{receiver.port}"
    assert asked == ["erp.exemplo.com.br"] * 3


async def test_nobody_answers_at_an_endpoint(app: RunningApp, operator: Person) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        hook = await new_hook(operator, f"http://127.0.0.1:{taken.getsockname()[1]}/", OPENED)
        await open_account(operator)
        await app.work_off()
    assert [one["last_error"] for one in await hook.deliveries()] == ["unreachable"]


async def test_a_backlog_disables_its_endpoint_and_old_deliveries_are_deleted(
    app: RunningApp, operator: Person, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook = await new_hook(operator, receiver.url, OPENED)
    receiver.answer = lambda _request: "500 Internal Server Error"
    for _ in range(3):
        await open_account(operator)
    await app.work_off()
    monkeypatch.setattr(maintenance, "MOST_WAITING", 2)
    async with app.database.transaction() as tx:
        await maintenance.disable_overrun(tx)
    await app.work_off()
    assert (await hook.shown())["disabled_by"] == "overrun"
    assert [one["state"] for one in await hook.deliveries()] == ["dead"] * 3
    async with app.database.transaction() as tx:
        assert await maintenance.forget_old(tx, timedelta(days=1)) == 0
    async with app.database.transaction() as tx:
        assert await maintenance.forget_old(tx, timedelta(days=-1)) >= 3
    assert await hook.deliveries() == []


async def test_abandoned_deliveries_are_taken_up(app: RunningApp, operator: Person, receiver: Receiver) -> None:
    await new_hook(operator, receiver.url, OPENED)
    await open_account(operator)
    receiver.answer = lambda _request: "500 Internal Server Error"
    await app.work_off()
    async with app.database.transaction() as tx:
        await tx.execute(text("DELETE FROM procrastinate_jobs WHERE task_name = 'webhooks:deliver'"))
    await pass_time(app)
    async with app.database.transaction() as tx:
        await maintenance.observe(tx)
        await maintenance.recover_stuck(tx)
    await app.work_off()
    assert len(receiver.requests) == 2


async def test_the_hook_of_an_ended_client_receives_nothing(
    app: RunningApp, operator: Person, receiver: Receiver
) -> None:
    hook: Hook = await new_hook(operator, receiver.url, OPENED)
    assert (await operator.call("DELETE", f"/clients/{hook.client.id}")).status_code == 204
    await open_account(operator)
    await app.work_off()
    assert receiver.requests == []
    listed = await operator.get(WEBHOOKS, client_id=str(hook.client.id))
    assert listed.json()["code"] == "client_not_found"
