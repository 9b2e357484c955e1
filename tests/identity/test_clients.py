"""Clients: the token grant (RFC 6749 and 7523), the rotation and revocation of credentials, and who may manage them."""

import asyncio
import base64
import hmac
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc.jwk import ECKey, OKPKey, RSAKey
from limits import RateLimitItemPerMinute
from sqlalchemy import text

from carteira.identity.clients import grant
from carteira.identity.jobs import make_blueprint
from carteira.identity.sessions import standing
from carteira.kit.values.clock import clock
from tests.identity.test_standing import away
from tests.support.app import RunningApp
from tests.support.machines import (
    ASSERTION_TYPE,
    FORM,
    TOKEN,
    Machine,
    acting,
    ask_token,
    assert_token,
    assertion,
    new_acting,
    new_machine,
)
from tests.support.people import Person, random_address, register

AUDIENCE = "http://test"
Key = OKPKey | ECKey | RSAKey


@pytest.fixture
def operator(app: RunningApp) -> Person:
    return app.operator()


def refused(answer: httpx.Response, status: int, error: str) -> None:
    """Assert an error of RFC 6749, section 5.2, in the product's form of problems."""
    assert (answer.status_code, answer.json()["error"], answer.json()["code"]) == (status, error, error), answer.text
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert ("www-authenticate" in answer.headers) == (status == 401)
    assert "error_description" not in answer.json(), "it may hold ASCII only"


async def test_a_client_gets_a_token_and_acts_under_its_own_name(app: RunningApp, operator: Person) -> None:
    await register(app)
    machine = await new_machine(operator, "users:read", "users:cpf")
    answer = await ask_token(app.client, machine)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    given = answer.json()
    assert given | {"access_token": ""} == {
        "access_token": "",
        "token_type": "Bearer",
        "expires_in": 600,
        "scope": "users:cpf users:read",
    }
    erp = Person(app.client, machine.id, {"Authorization": f"Bearer {given['access_token']}"})
    assert (await erp.get("/users")).status_code == 200
    assert (await erp.get("/claims")).status_code == 403
    looked = "SELECT count(*) FROM audit_log WHERE actor_id = :id AND action = 'user_listed'"
    signed_in = "SELECT count(*) FROM audit_log WHERE actor_id = :id AND action = 'client_token'"
    async with app.database.transaction() as tx:
        assert await tx.scalar(text(looked), {"id": machine.id}) > 0
        assert await tx.scalar(text(signed_in), {"id": machine.id}) == 1
    shown = (await operator.get(f"/clients/{machine.id}")).json()
    assert shown["last_used_at"] is not None
    assert shown["credentials"][0]["last_used_at"] == shown["last_used_at"]


async def test_the_secret_is_shown_once_and_stored_as_a_hash(app: RunningApp, operator: Person) -> None:
    machine = await new_machine(operator)
    assert machine.secret.startswith("carteira_secret_")
    assert len(base64.urlsafe_b64decode(machine.secret.removeprefix("carteira_secret_") + "=")) == 32
    for path in (f"/clients/{machine.id}", "/clients"):
        assert machine.secret not in (await operator.get(path)).text
    async with app.database.transaction() as tx:
        for table in ("clients", "client_credentials", "audit_log"):
            rows = await tx.execute(text(f"SELECT row::text FROM {table} row"))
            assert not any(machine.secret in row or machine.secret.encode().hex() in row for (row,) in rows)


async def test_the_secret_may_come_in_the_form(app: RunningApp, operator: Person) -> None:
    machine = await new_machine(operator)
    form = FORM | {"client_id": str(machine.id), "client_secret": machine.secret}
    assert (await app.client.post(TOKEN, data=form)).status_code == 200
    encoded = f"{str(machine.id).replace('-', '%2D')}:{machine.secret.replace('_', '%5F')}".encode()
    headers = {"Authorization": "bAsIc " + base64.b64encode(encoded).decode()}
    assert (await app.client.post(TOKEN, data=FORM, headers=headers)).status_code == 200, "RFC 6749, section 2.3.1"


async def test_a_scope_narrows_the_token(app: RunningApp, operator: Person) -> None:
    machine = await new_machine(operator, "users:read", "users:export")
    erp = await acting(app.client, machine, scope="users:read")
    assert (await erp.get("/users")).status_code == 200
    assert (await erp.get("/users/export")).status_code == 403
    for scope in ("users:write", "users:read *", "unheard:of"):
        refused(await ask_token(app.client, machine, scope=scope), 400, "invalid_scope")
    assert (await ask_token(app.client, machine, scope="")).json()["scope"] == "users:export users:read"


ID, SECRET = "11111111-1111-4111-8111-111111111111", "x"
BASIC = {"authorization": "Basic " + base64.b64encode(f"{ID}:{SECRET}".encode()).decode()}
PROOF = f"client_id={ID}&client_secret={SECRET}"


@pytest.mark.parametrize(
    ("body", "headers", "status", "error"),
    [
        (f"{PROOF}", {}, 400, "invalid_request"),
        (f"grant_type=&{PROOF}", {}, 400, "invalid_request"),
        (f"grant_type=client_credentials&grant_type=client_credentials&{PROOF}", {}, 400, "invalid_request"),
        ("grant_type=client_credentials" + "&a=b" * 30, {}, 400, "invalid_request"),
        ("grant_type", {}, 400, "invalid_request"),
        ("", {}, 400, "invalid_request"),
        ("grant_type=%ff\xff", {}, 400, "invalid_request"),
        (f"grant_type=password&{PROOF}", {}, 400, "unsupported_grant_type"),
        (f"grant_type=client_credentials&{PROOF}", BASIC, 400, "invalid_request"),
        ("grant_type=client_credentials&client_id=other", BASIC, 400, "invalid_request"),
        ("grant_type=client_credentials&client_secret=x", {}, 400, "invalid_request"),
        ("grant_type=client_credentials&client_assertion=x", {}, 400, "invalid_request"),
        ("grant_type=client_credentials&client_assertion_type=x&client_assertion=x", {}, 400, "invalid_request"),
        ("grant_type=client_credentials", {"content-type": "application/json"}, 400, "invalid_request"),
        ("grant_type=client_credentials", {}, 401, "invalid_client"),
        ("grant_type=client_credentials", {"authorization": "Bearer x"}, 401, "invalid_client"),
        ("grant_type=client_credentials", {"authorization": "Basic ???"}, 401, "invalid_client"),
        ("grant_type=client_credentials", {"authorization": "Basic eA=="}, 401, "invalid_client"),
        ("grant_type=client_credentials", BASIC, 401, "invalid_client"),
        ("grant_type=client_credentials&client_id=x&client_secret=%00", {}, 401, "invalid_client"),
        (
            f"grant_type=client_credentials&client_assertion_type={ASSERTION_TYPE}&client_assertion=a.b",
            {},
            401,
            "invalid_client",
        ),
    ],
)
async def test_errors_are_those_of_the_rfc(
    app: RunningApp, body: str, headers: dict[str, str], status: int, error: str
) -> None:
    usual = {"content-type": "application/x-www-form-urlencoded"}
    refused(await app.client.post(TOKEN, content=body.encode("latin-1"), headers=usual | headers), status, error)


async def test_all_that_is_wrong_with_a_proof_is_one_answer(
    app: RunningApp, operator: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, other = await new_machine(operator), await new_machine(operator)
    elsewhere = await new_machine(operator, networks=["203.0.113.0/24"])
    gone = await new_machine(operator)
    assert (await operator.call("DELETE", f"/clients/{gone.id}")).status_code == 204
    compared: list[tuple[bytes, bytes]] = []

    def compare(given: bytes, known: bytes) -> bool:
        compared.append((given, known))
        return hmac.compare_digest(given, known)

    monkeypatch.setattr(grant, "compare_digest", compare)
    answers = [
        await ask_token(app.client, Machine(good.id, other.secret, good.credential)),  # another client's secret
        await ask_token(app.client, Machine(good.id, good.secret + "x", good.credential)),
        await ask_token(app.client, Machine(uuid4(), good.secret, good.credential)),
        await ask_token(app.client, elsewhere),
        await ask_token(app.client, gone),
    ]
    bodies = [{name: value for name, value in answer.json().items() if name != "request_id"} for answer in answers]
    for answer in answers:
        refused(answer, 401, "invalid_client")
    assert all(body == bodies[0] for body in bodies)
    assert len(compared) >= len(answers), "also for an unknown client: every proof is compared, in equal time"
    reasons = "SELECT array_agg(details ->> 'reason' ORDER BY id) FROM audit_log WHERE action = 'client_refused'"
    async with app.database.transaction() as tx:
        assert (await tx.scalar(text(reasons)))[-5:] == ["proof", "proof", "unknown", "network", "over"]


async def test_refusals_are_counted_by_address_and_shut_no_client_out(
    app: RunningApp, operator: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = await new_machine(operator)
    few = RateLimitItemPerMinute(3, 15, namespace="carteira:few")
    monkeypatch.setattr(grant, "PER_ADDRESS", few)
    async with app.at(random_address()) as thief:
        for _ in range(3):
            refused(await ask_token(thief, Machine(machine.id, "guess", machine.credential)), 401, "invalid_client")
        assert (await ask_token(thief, Machine(machine.id, "guess", machine.credential))).status_code == 429
    assert (await ask_token(app.client, machine)).status_code == 200


KEYS: dict[str, Callable[[], Key]] = {
    "ES256": lambda: ECKey.generate_key("P-256"),
    "Ed25519": lambda: OKPKey.generate_key("Ed25519"),
    "EdDSA": lambda: OKPKey.generate_key("Ed25519"),
    "PS256": lambda: RSAKey.generate_key(3072),
    "RS256": lambda: RSAKey.generate_key(3072),
}


@pytest.mark.parametrize("algorithm", sorted(KEYS))
@pytest.mark.parametrize("form", ["jwk", "pem"])
async def test_a_client_authenticates_by_its_signature(
    app: RunningApp, operator: Person, algorithm: str, form: str
) -> None:
    key = KEYS[algorithm]()
    public = key.as_dict(private=False) if form == "jwk" else key.as_pem(private=False).decode()
    machine = await new_machine(operator, "users:read", public_key=public)
    assert machine.secret == ""
    base = str(app.client.base_url).rstrip("/")
    for audience in (base, base + TOKEN, ["https://elsewhere.example", base]):
        answer = await assert_token(app.client, assertion(machine, key, algorithm, audience))
        assert answer.status_code == 200, answer.text
    signed = assertion(machine, key, algorithm, base)
    answers = await asyncio.gather(*(assert_token(app.client, signed) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [200, 401, 401, 401, 401], "accepted once"


@pytest.fixture
async def signing(operator: Person) -> tuple[Machine, Key]:
    key = KEYS["Ed25519"]()
    return await new_machine(operator, public_key=key.as_dict(private=False)), key


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": None},
        {"aud": "https://elsewhere.example"},
        {"aud": 7},
        {"aud": []},
        {"iss": "0197a000-0000-7000-8000-000000000001"},
        {"iss": None},
        {"exp": None},
        {"exp": 1},
        {"exp": 9e99},
        {"exp": "soon"},
        {"jti": None},
        {"jti": ""},
        {"jti": "x" * 500},
        {"jti": 5},
        {"nbf": 9_999_999_999},
    ],
    ids=lambda changes: str(changes)[:24],
)
async def test_an_assertion_of_another_time_or_audience_is_refused(
    app: RunningApp, signing: tuple[Machine, Key], changes: dict[str, Any]
) -> None:
    machine, key = signing
    base = str(app.client.base_url).rstrip("/")
    refused(await assert_token(app.client, assertion(machine, key, "Ed25519", base, **changes)), 401, "invalid_client")


async def test_an_assertion_under_another_key_or_for_another_client_proves_nothing(
    app: RunningApp, operator: Person, signing: tuple[Machine, Key]
) -> None:
    machine, key = signing
    base = str(app.client.base_url).rstrip("/")
    other = KEYS["Ed25519"]()
    stranger = await new_machine(operator, public_key=other.as_dict(private=False))
    refused(await assert_token(app.client, assertion(machine, other, "Ed25519", base)), 401, "invalid_client")
    refused(await assert_token(app.client, assertion(stranger, key, "Ed25519", base)), 401, "invalid_client")
    named = await assert_token(app.client, assertion(machine, key, "Ed25519", base), client_id=str(stranger.id))
    refused(named, 400, "invalid_request")
    form = FORM | {"client_id": str(machine.id), "client_secret": ""}
    refused(await app.client.post(TOKEN, data=form), 401, "invalid_client")
    without_secret = Machine(machine.id, "", machine.credential)
    refused(await ask_token(app.client, without_secret), 401, "invalid_client")


async def test_used_assertions_are_forgotten_once_they_are_over(
    app: RunningApp, signing: tuple[Machine, Key], monkeypatch: pytest.MonkeyPatch
) -> None:
    machine, key = signing
    base = str(app.client.base_url).rstrip("/")
    assert (await assert_token(app.client, assertion(machine, key, "Ed25519", base))).status_code == 200
    count = text("SELECT count(*) FROM client_assertions WHERE client_id = :id")

    async def left() -> int:
        job = make_blueprint(app.api.state.identity.config).tasks["forget_old"]
        context = type("Context", (), {"additional_context": {"database": app.database}})()
        await job.func(context, 0)
        async with app.database.transaction() as tx:
            return int(await tx.scalar(count, {"id": machine.id}) or 0)

    assert await left() == 1
    later = clock.now() + timedelta(days=2)
    monkeypatch.setattr(clock, "now", lambda: later)
    assert await left() == 0


@pytest.mark.parametrize(
    "key",
    [
        generate_private_key(65537, 2048)
        .public_key()
        .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        .decode(),
        ECKey.generate_key("P-384").as_dict(private=False),
        OKPKey.generate_key("X25519").as_dict(private=False),
        OKPKey.generate_key("Ed25519").as_dict(private=True),
        {"kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA"},
        {"kty": ["OKP"], "crv": "Ed25519", "x": 1},
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
        {},
        "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----",
        ECKey.generate_key("P-256").as_pem(private=True).decode(),
        "é",
        17,
    ],
    ids=[
        "RSA of 2048 bits",
        "P-384",
        "X25519",
        "private",
        "symmetric",
        "kty is a list",
        "no point",
        "empty",
        "no PEM",
        "private PEM",
        "text",
        "number",
    ],
)
async def test_an_unsuitable_key_is_refused(operator: Person, key: object) -> None:
    answer = await operator.post("/clients", {"name": "ERP", "public_key": key})
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["field"] == "public_key"


async def test_a_revoked_clients_tokens_end_in_every_process(
    start_app: Callable[..., Awaitable[RunningApp]],
) -> None:
    here, there = await start_app(), await start_app()
    operator = here.operator()
    machine = await new_machine(operator, "users:read")
    erp = await acting(here.client, machine)
    for app in (here, there):
        assert (await app.client.get("/users", headers=erp.headers)).status_code == 200
    assert (await operator.call("DELETE", f"/clients/{machine.id}")).status_code == 204
    for app in (here, there):
        answer = await app.client.get("/users", headers=erp.headers)
        assert (answer.status_code, answer.json()["code"]) == (401, "session_over")
    refused(await ask_token(there.client, machine), 401, "invalid_client")
    assert (await operator.call("DELETE", f"/clients/{machine.id}")).status_code == 404
    shown = (await operator.get(f"/clients/{machine.id}")).json()
    assert shown["revoked_at"] is not None, "the audit names it, so that it stays visible"


async def test_claims_taken_from_a_client_are_gone_from_its_tokens_at_once(
    start_app: Callable[..., Awaitable[RunningApp]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standing, "CACHE_SECONDS", 60.0)
    here, there = await start_app(), await start_app()
    operator = here.operator()
    machine = await new_machine(operator, "users:read")
    erp = await acting(there.client, machine)
    assert (await erp.get("/users")).status_code == 200
    changed = await operator.call("PUT", f"/clients/{machine.id}/claims", json={"claims": []})
    assert (changed.status_code, changed.json()["claims"]) == (200, [])
    assert (await erp.get("/users")).status_code == 403
    again = {"claims": ["users:read"]}
    assert (await operator.call("PUT", f"/clients/{machine.id}/claims", json=again)).status_code == 200
    assert (await erp.get("/users")).status_code == 200


async def test_rotation_leaves_two_secrets_valid_until_the_overlap_ends(
    app: RunningApp, operator: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = await new_machine(operator, "users:read")
    path = f"/clients/{machine.id}/credentials"
    made = await operator.post(path, {"overlap_hours": 24})
    assert made.status_code == 201
    fresh = Machine(machine.id, made.json()["client_secret"], UUID(made.json()["id"]))
    assert [(await ask_token(app.client, one)).status_code for one in (machine, fresh)] == [200, 200]
    third = await operator.post(path, {})
    assert (third.status_code, third.json()["code"]) == (409, "too_many_credentials")
    old_hand = await acting(app.client, machine)
    later = clock.now() + timedelta(hours=24, seconds=1)
    monkeypatch.setattr(clock, "now", lambda: later)
    refused(await ask_token(app.client, machine), 401, "invalid_client")
    assert (await ask_token(app.client, fresh)).status_code == 200
    assert (await old_hand.get("/users")).status_code == 401, "a token lives no longer than the credential behind it"
    assert len((await operator.get(f"/clients/{machine.id}")).json()["credentials"]) == 1


async def test_a_stolen_secret_is_ended_at_once_with_its_tokens_and_leaves_the_other_alone(
    app: RunningApp, operator: Person
) -> None:
    machine = await new_machine(operator, "users:read")
    path = f"/clients/{machine.id}/credentials"
    made = (await operator.post(path, {})).json()
    fresh = Machine(machine.id, made["client_secret"], UUID(made["id"]))
    thief, owner = await acting(app.client, machine), await acting(app.client, fresh)
    assert (await operator.call("DELETE", f"{path}/{machine.credential}")).status_code == 204
    assert (await thief.get("/users")).status_code == 401
    assert (await owner.get("/users")).status_code == 200
    assert (await operator.call("DELETE", f"{path}/{machine.credential}")).status_code == 404
    other = await new_machine(operator)
    assert (await operator.call("DELETE", f"/clients/{other.id}/credentials/{fresh.credential}")).status_code == 404
    at_once = (await operator.post(path, {"overlap_hours": 0})).json()
    assert (await owner.get("/users")).status_code == 401
    assert (await ask_token(app.client, fresh)).status_code == 401
    assert (await ask_token(app.client, Machine(machine.id, at_once["client_secret"], fresh.id))).status_code == 200


async def test_a_client_and_its_tokens_end_with_its_expiry(
    app: RunningApp, operator: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    end = clock.now() + timedelta(seconds=90)
    machine = await new_machine(operator, "users:read", expires_at=end.isoformat())
    answer = await ask_token(app.client, machine)
    assert answer.json()["expires_in"] <= 90
    erp = Person(app.client, machine.id, {"Authorization": f"Bearer {answer.json()['access_token']}"})
    assert (await erp.get("/users")).status_code == 200
    later = end + timedelta(seconds=1)
    monkeypatch.setattr(clock, "now", lambda: later)
    refused(await ask_token(app.client, machine), 401, "invalid_client")
    assert (await erp.get("/users")).status_code == 401
    longer = await operator.call("PATCH", f"/clients/{machine.id}", json={"expires_at": None})
    assert (longer.status_code, longer.json()["expires_at"]) == (200, None)
    assert (await ask_token(app.client, machine)).status_code == 200
    past = await operator.call("PATCH", f"/clients/{machine.id}", json={"expires_at": end.isoformat()})
    assert past.status_code == 422


async def test_a_token_is_good_in_the_clients_networks_only(app: RunningApp, operator: Person) -> None:
    machine = await new_machine(operator, "users:read", networks=["198.51.100.0/24", "2001:db8::/32"])
    async with app.at("198.51.100.7") as inside, app.at("2001:db8::7") as inside_too, app.at("203.0.113.9") as outside:
        erp = await acting(inside, machine)
        assert (await ask_token(inside_too, machine)).status_code == 200
        assert (await inside_too.get("/users", headers=erp.headers)).status_code == 200
        assert (await outside.get("/users", headers=erp.headers)).status_code == 401
        assert (await ask_token(outside, machine)).status_code == 401
        changed = await operator.call("PATCH", f"/clients/{machine.id}", json={"networks": ["203.0.113.9"]})
        assert changed.json()["networks"] == ["203.0.113.9/32"]
        assert (await outside.get("/users", headers=erp.headers)).status_code == 200
        assert (await inside.get("/users", headers=erp.headers)).status_code == 401
    for bad in ("x", "203.0.113.9/24", "203.0.113.0/33", ""):
        assert (await operator.post("/clients", {"name": "ERP", "networks": [bad]})).status_code == 422, bad


async def test_nobody_grants_a_client_claims_that_they_do_not_hold(app: RunningApp, operator: Person) -> None:
    manager = app.person("clients:write", "clients:read", "users:read")
    wanted, more = ["users:read"], ["users:read", "users:export"]
    answer = await manager.post("/clients", {"name": "ERP", "claims": more})
    assert (answer.status_code, answer.json()["code"]) == (403, "claims_beyond_yours")
    made = await manager.post("/clients", {"name": "ERP", "claims": wanted})
    assert made.status_code == 201
    own = f"/clients/{made.json()['id']}"
    assert (await manager.call("PUT", own + "/claims", json={"claims": more})).status_code == 403
    assert (await manager.call("PUT", own + "/claims", json={"claims": ["unheard:of"]})).status_code == 404
    mighty = await new_machine(operator, "users:read", "users:export")
    path = f"/clients/{mighty.id}"
    for method, where, body in (
        ("POST", path + "/credentials", {}),
        ("POST", path + "/credentials", {"public_key": KEYS["Ed25519"]().as_dict(private=False)}),
        ("PATCH", path, {"networks": []}),
    ):
        answer = await manager.call(method, where, json=body)
        assert (answer.status_code, answer.json()["code"]) == (403, "claims_beyond_yours"), where
    assert len((await operator.get(path)).json()["credentials"]) == 1
    lessened = await manager.call("PUT", path + "/claims", json={"claims": wanted})
    assert (lessened.status_code, lessened.json()["claims"]) == (200, ["users:read"]), (
        "taking a claim away grants nothing"
    )
    assert (await manager.call("DELETE", path)).status_code == 204


async def test_personal_routes_refuse_clients(operator: Person) -> None:
    unknown = (await operator.post("/clients", {"name": "ERP", "claims": ["users:read", "user:read", "*"]})).json()
    assert (unknown["code"], unknown["claims"]) == ("claim_not_found", ["*", "user:read"])
    for name in ("clients:write", "money:approve", "identity:prove", "documents:review"):
        answer = await operator.post("/clients", {"name": "ERP", "claims": [name]})
        assert (answer.status_code, answer.json()["code"]) == (403, "claim_for_people_only"), name
        assert answer.json()["claims"] == [name]
        machine = await new_machine(operator)
        answer = await operator.call("PUT", f"/clients/{machine.id}/claims", json={"claims": [name]})
        assert (answer.status_code, answer.json()["code"]) == (403, "claim_for_people_only"), name


async def test_operators_without_the_claim_see_no_clients(app: RunningApp, operator: Person) -> None:
    machine = await new_machine(operator)
    reader, writer, nobody = app.person("clients:read"), app.person("clients:write"), app.person("users:write")
    assert (await reader.get("/clients")).status_code == 200
    assert (await reader.get(f"/clients/{machine.id}")).json()["name"] == "ERP da Padaria Central"
    assert (await reader.post("/clients", {"name": "ERP"})).status_code == 403
    assert (await writer.get("/clients")).status_code == 403
    for method, path in (
        ("GET", "/clients"),
        ("POST", "/clients"),
        ("GET", f"/clients/{machine.id}"),
        ("PATCH", f"/clients/{machine.id}"),
        ("PUT", f"/clients/{machine.id}/claims"),
        ("DELETE", f"/clients/{machine.id}"),
        ("POST", f"/clients/{machine.id}/credentials"),
        ("DELETE", f"/clients/{machine.id}/credentials/{machine.credential}"),
    ):
        assert (await nobody.call(method, path, json={})).status_code in {403, 422}, path
    for path in (f"/clients/{uuid4()}", f"/clients/{uuid4()}/credentials"):
        assert (await operator.call("GET" if path.count("/") == 2 else "POST", path, json={})).status_code == 404
    assert len((await operator.get("/clients", limit=1)).json()["items"]) == 1


async def test_a_client_has_nothing_that_is_a_persons_own(operator: Person) -> None:
    erp = await new_acting(operator, "users:read")
    for method, path in (
        ("GET", "/users/me"),
        ("GET", "/users/me/data"),
        ("GET", "/users/me/accesses"),
        ("PUT", "/users/me/password"),
        ("GET", "/auth/sessions"),
        ("DELETE", "/auth/sessions"),
        ("POST", "/auth/totp"),
        ("GET", "/auth/passkeys"),
    ):
        body = {"current_password": "x", "new_password": "Girassol7amarelo"} if method == "PUT" else None
        answer = await erp.call(method, path, json=body)
        expected = {"person_required", "recent_sign_in_required"}
        assert (answer.status_code, answer.json()["code"] in expected) == (403, True), (method, path, answer.text)


async def test_a_clients_token_goes_on_while_postgresql_is_away(
    app: RunningApp, operator: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standing, "CACHE_SECONDS", 0.0)
    erp = await new_acting(operator, "users:read")
    assert (await erp.get("/users")).status_code == 200
    async with away(app):
        assert (await erp.get("/users")).status_code == 200
