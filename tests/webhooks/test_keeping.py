"""Endpoints are managed by their clients and by those who may read their events, and never point into our network."""

from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import text

from carteira import identity, webhooks
from carteira.kit.values.clock import clock
from carteira.webhooks import service
from tests.support.app import RunningApp
from tests.support.machines import acting, new_acting, new_machine
from tests.support.people import Person, register, sign_in
from tests.support.webhooks import KEEPS, WEBHOOKS, add_hook, new_hook

URL = "https://erp.exemplo.com.br/carteira"
CREDITED, REGISTERED = "benefits.credited", "identity.person_registered"


async def refused(person: Person, method: str, path: str, body: object = None) -> tuple[int, str]:
    answer = await person.call(method, path, json=body)
    assert answer.status_code >= 400, answer.text
    return answer.status_code, answer.json()["code"]


async def test_a_client_keeps_its_own_and_nobody_elses(operator: Person) -> None:
    mine, other = await new_hook(operator, URL, CREDITED), await new_acting(operator, "benefits:read", *KEEPS)
    shown = await mine.shown()
    assert shown["url"] == URL
    assert "secret" not in shown
    assert [one["id"] for one in (await mine.client.get(WEBHOOKS)).json()["items"]] == [mine.id]
    assert (await other.get(WEBHOOKS)).json()["items"] == []
    for method, path, body in (
        ("GET", mine.path, None),
        ("PATCH", mine.path, {"state": "disabled"}),
        ("POST", f"{mine.path}/secrets", {}),
        ("POST", f"{mine.path}/test", None),
        ("GET", f"{mine.path}/deliveries", None),
        ("POST", f"{mine.path}/replay", {"since": "2026-01-01T00:00:00Z"}),
        ("POST", f"{mine.path}/deliveries/{uuid4()}/replay", None),
    ):
        assert await refused(other, method, path, body) == (404, "webhook_not_found"), path
    assert await refused(
        other, "POST", WEBHOOKS, {"client_id": str(mine.client.id), "url": URL, "events": [CREDITED]}
    ) == (
        404,
        "client_not_found",
    )
    assert await refused(await new_acting(operator, "benefits:read"), "GET", WEBHOOKS) == (403, "forbidden")


async def test_nobody_sends_a_client_events_that_they_may_not_read(operator: Person, app: RunningApp) -> None:
    machine = await new_machine(operator, "benefits:read", "users:read", *KEEPS)
    narrowed = await acting(operator.client, machine, scope="webhooks:write benefits:read")
    asked = {"url": URL, "events": [CREDITED, REGISTERED]}
    assert await refused(narrowed, "POST", WEBHOOKS, asked) == (403, "claims_beyond_yours")
    poor = await new_acting(operator, *KEEPS, "benefits:read")
    assert await refused(poor, "POST", WEBHOOKS, asked) == (403, "event_not_readable")
    hook = await add_hook(await acting(operator.client, machine), URL, REGISTERED)
    for path, body in ((f"{hook.path}/secrets", {}), (f"{hook.path}/test", None)):
        assert await refused(narrowed, "POST", path, body) == (403, "claims_beyond_yours")
    keeper = app.person("benefits:read", *KEEPS)
    assert await refused(keeper, "PATCH", hook.path, {"url": URL}) == (403, "claims_beyond_yours")
    assert await refused(keeper, "POST", WEBHOOKS, {"url": URL, "events": [CREDITED]}) == (422, "invalid_input")
    made = await keeper.post(WEBHOOKS, {"client_id": str(machine.id), "url": URL, "events": [CREDITED]})
    assert made.status_code == 201
    listed = await keeper.get(WEBHOOKS, client_id=str(machine.id))
    assert {one["id"] for one in listed.json()["items"]} == {hook.id, made.json()["id"]}


async def test_bound_people_manage_endpoints_of_their_employers_clients_only(operator: Person, app: RunningApp) -> None:
    a, b = [
        (await operator.post("/benefits/employers", {"cnpj": cnpj, "name": "Padaria"})).json()["id"]
        for cnpj in ("44.555.666/0001-81", "11.444.777/0001-61")
    ]
    theirs, both, free = [await new_acting(operator, "benefits:read", *KEEPS) for _ in range(3)]
    keeper = await register(app)
    ids = {one["description"]: one["id"] for one in (await operator.get("/claims", limit="100")).json()["items"]}
    given = {"claim_ids": [ids[claim] for claim in ("benefits:read", *KEEPS)]}
    assert (await operator.call("PUT", f"/users/{keeper.id}/claims", json=given)).status_code == 200
    for employer, member in ((a, theirs), (a, both), (b, both), (a, keeper)):
        assert (await operator.call("PUT", f"/benefits/employers/{employer}/members/{member.id}")).status_code == 200
    await sign_in(keeper)
    asked = {"url": URL, "events": [CREDITED]}
    for client, status in ((theirs, 201), (both, 404), (free, 404)):
        made = await keeper.post(WEBHOOKS, asked | {"client_id": str(client.id)})
        assert made.status_code == status, made.text


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("https://user:secret@erp.exemplo.com.br/", "usuário"),
        ("https://erp.exemplo.com.br/#a", "fragmento"),
        ("https://169.254.169.254/latest/meta-data/", "rede interna"),
        ("https://10.0.0.1/", "rede interna"),
        ("https://[fd00:ec2::254]/", "rede interna"),
        ("https://[::ffff:10.0.0.1]/", "rede interna"),
        ("https://[64:ff9b::a00:1]/", "rede interna"),
        ("https://erp.exemplo.com.br:0/", "inválido"),
        ("https:///carteira", "inválido"),
    ],
)
async def test_an_address_that_is_not_called_is_reported(operator: Person, url: str, says: str) -> None:
    client = await new_acting(operator, "benefits:read", *KEEPS)
    answer = await client.post(WEBHOOKS, {"url": url, "events": [CREDITED]})
    assert (answer.status_code, answer.json()["code"]) == (422, "address_not_called")
    assert says in answer.json()["errors"][0]["message"]


async def test_bad_input_is_reported(operator: Person) -> None:
    client = await new_acting(operator, "benefits:read", *KEEPS)
    for body in (
        {"url": URL, "events": []},
        {"url": URL, "events": ["benefits.nothing"]},
        {"url": URL, "events": [CREDITED, CREDITED]},
        {"url": "ftp://erp.exemplo.com.br/", "events": [CREDITED]},
        {"url": "https://erp.exemplo.com.br/\r\nX: y", "events": [CREDITED]},
        {"url": URL, "events": [CREDITED], "secret": "mine"},
    ):
        assert await refused(client, "POST", WEBHOOKS, body) == (422, "invalid_input"), body


async def test_endpoints_per_client_are_limited(operator: Person) -> None:
    client = await new_acting(operator, "benefits:read", *KEEPS)
    hooks = [await add_hook(client, URL, CREDITED) for _ in range(10)]
    asked = {"url": URL, "events": [CREDITED]}
    assert await refused(client, "POST", WEBHOOKS, asked) == (409, "too_many_webhooks")
    assert (await client.call("PATCH", hooks[0].path, json={"state": "disabled"})).json()["disabled_by"] == "request"
    await add_hook(client, URL, CREDITED)
    assert await refused(client, "PATCH", hooks[0].path, {"state": "enabled"}) == (409, "too_many_webhooks")


async def test_test_calls_per_client_and_minute_are_limited(operator: Person) -> None:
    first, other = await new_hook(operator, URL, CREDITED), await new_hook(operator, URL, CREDITED)
    second = await add_hook(first.client, URL, CREDITED)
    for number in range(service.TESTS):
        hook = (first, second)[number % 2]
        assert (await hook.client.post(f"{hook.path}/test")).status_code == 202
    answer = await second.client.post(f"{second.path}/test")
    assert (answer.status_code, answer.json()["code"]) == (429, "too_many_requests")
    assert 0 < int(answer.headers["retry-after"]) <= 60
    assert (await other.client.post(f"{other.path}/test")).status_code == 202
    clock.set(clock.now() + timedelta(seconds=61))
    assert (await second.client.post(f"{second.path}/test")).status_code == 202


async def test_replays_per_client_and_minute_are_limited(operator: Person) -> None:
    first, other = await new_hook(operator, URL, CREDITED), await new_hook(operator, URL, CREDITED)
    second = await add_hook(first.client, URL, CREDITED)
    since = {"since": "2026-01-01T00:00:00Z"}
    told = (await first.client.post(f"{first.path}/test")).json()["message_id"]
    for number in range(service.REPLAYS):
        asked = (f"{second.path}/replay", since) if number % 2 else (f"{first.path}/deliveries/{told}/replay", None)
        assert (await first.client.post(*asked)).status_code == 202
    for asked in ((f"{second.path}/replay", since), (f"{first.path}/deliveries/{told}/replay", None)):
        answer = await first.client.post(*asked)
        assert (answer.status_code, answer.json()["code"]) == (429, "too_many_requests")
        assert 0 < int(answer.headers["retry-after"]) <= 60
    assert (await other.client.post(f"{other.path}/replay", since)).status_code == 202
    clock.set(clock.now() + timedelta(seconds=61))
    assert (await first.client.post(f"{second.path}/replay", since)).status_code == 202


async def test_secrets_are_sealed_anew_with_identitys_keys(operator: Person, app: RunningApp) -> None:
    await new_hook(operator, URL, CREDITED)
    ring = app.api.state.identity.sealer
    done = await identity.rotate_sealing_key(app.database, ring, others=[webhooks.SEALED])
    assert done.resealed >= 1
    assert done.unreadable == 0
    async with app.database.transaction() as tx:
        found = await identity.check_sealed(tx, ring, [webhooks.SEALED])
        assert (found.on_former, found.unreadable) == (0, 0)
        assert found.on_active >= 1
        assert await tx.scalar(text("SELECT count(*) FROM webhook_secrets")) <= found.on_active


async def test_changes_of_an_endpoint_are_in_the_audit(operator: Person, app: RunningApp) -> None:
    hook = await new_hook(operator, URL, CREDITED)
    await hook.client.call("PATCH", hook.path, json={"description": "ERP"})
    await hook.client.post(f"{hook.path}/secrets", {"overlap_hours": 0})
    await hook.client.post(f"{hook.path}/test")
    query = text(
        "SELECT action, actor_kind FROM audit_log WHERE subject_id = :id AND action LIKE 'webhook%' ORDER BY id"
    )
    async with app.database.transaction() as tx:
        rows = (await tx.execute(query, {"id": hook.client.id})).all()
    actions = ["webhook_added", "webhook_changed", "webhook_secret_added", "webhook_tested"]
    assert [tuple(row) for row in rows] == [(action, "client") for action in actions]
