import base64
import json
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet, OctKey

from carteira.app import access_key_file
from carteira.identity.proof.service import CpfProof, prove
from carteira.identity.sessions import standing
from carteira.kit.security import tokens
from tests.support.app import RunningApp
from tests.support.people import PASSWORD, Person, register, sign_in

ADMINISTRATOR, CITIZEN = 2, 1


async def test_losing_a_role_holds_at_once_in_every_process(start_app: Callable[..., Awaitable[RunningApp]]) -> None:
    here, there = await start_app(), await start_app()
    person = await sign_in(await register(here))
    writer = here.bearer("*")
    another = await register(here)  # the last administrator stays one
    await here.client.put(f"/users/{another.id}/role", json={"role_id": ADMINISTRATOR}, headers=writer)
    for _ in range(3):
        given = await here.client.put(f"/users/{person.id}/role", json={"role_id": ADMINISTRATOR}, headers=writer)
        assert given.status_code == 200
        for app in (here, there):
            assert (await app.client.get("/users", headers=person.headers)).status_code == 200
        taken = await there.client.put(f"/users/{person.id}/role", json={"role_id": CITIZEN}, headers=writer)
        assert taken.status_code == 200
        for app in (here, there):
            assert (await app.client.get("/users", headers=person.headers)).status_code == 403


async def test_a_standing_that_was_cached_before_the_change_is_not_used_after_it(
    start_app: Callable[..., Awaitable[RunningApp]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standing, "CACHE_SECONDS", 60.0)
    here, there = await start_app(), await start_app()
    person = await sign_in(await register(here))
    writer = here.bearer("*")
    await here.api.state.redis.flushdb()
    assert (await there.client.get("/users/me", headers=person.headers)).status_code == 200
    cached = there.api.state.identity.access._cache  # noqa: SLF001 - the test compares the cache
    assert len(cached) == 1, "the change below must find a cached standing"
    deleted = await here.client.delete(f"/users/{person.id}", headers=writer)
    assert deleted.status_code == 204
    assert (await there.client.get("/users/me", headers=person.headers)).status_code == 401


async def test_without_redis_every_request_reads_the_database(
    start_app: Callable[..., Awaitable[RunningApp]],
) -> None:
    app = await start_app(redis_url="redis://127.0.0.1:1/0")
    person = await sign_in(await register(app))
    assert (await app.client.get("/users/me", headers=person.headers)).status_code == 200
    assert (await app.client.delete("/auth/sessions", headers=person.headers)).status_code == 204
    assert (await app.client.get("/users/me", headers=person.headers)).status_code == 401
    for _ in range(10):
        answer = await app.client.post("/auth/login", data={"username": "x@exemplo.com", "password": "Errada1"})
        assert answer.status_code == 401
    answer = await app.client.post("/auth/login", data={"username": "x@exemplo.com", "password": "Errada1"})
    assert answer.status_code == 429, "the process counts by itself"


async def test_an_operators_token_is_for_development_only(start_app: Callable[..., Awaitable[RunningApp]]) -> None:
    app = await start_app()
    assert (await app.client.get("/users", headers=app.bearer("users:read"))).status_code == 200
    assert (await app.client.get("/users", headers=app.bearer())).status_code == 403
    object.__setattr__(app.api.state.identity.access, "_development", False)
    assert (await app.client.get("/users", headers=app.bearer("users:read"))).status_code == 401


async def test_a_persons_token_carries_no_claims_and_none_that_it_carries_count(
    app: RunningApp, person: Person
) -> None:
    head, body, _ = person.tokens["access_token"].split(".")
    content = json.loads(base64.urlsafe_b64decode(body + "=="))
    assert set(content) == {"iss", "aud", "sub", "iat", "exp", "sid"}
    assert "kid" in json.loads(base64.urlsafe_b64decode(head + "=="))
    key = tokens.load_or_create_key(access_key_file(app.settings))
    forged = tokens.sign(key, subject=str(person.id), ttl_seconds=60, claims={"sid": content["sid"], "claims": ["*"]})
    answer = await app.client.get("/users", headers={"Authorization": f"Bearer {forged}"})
    assert answer.status_code == 403
    alien = tokens.sign(key, subject=str(uuid4()), ttl_seconds=60, claims={"sid": content["sid"]})
    answer = await app.client.get("/users/me", headers={"Authorization": f"Bearer {alien}"})
    assert answer.status_code == 401, "another person's session"


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "e30.e30.", "ÿ.ÿ.ÿ", "null.null.null", "W10.e30.x"])
async def test_rubbish_tokens_are_401(app: RunningApp, token: str) -> None:
    answer = await app.client.get("/users/me", headers={b"Authorization": f"Bearer {token}".encode("latin-1")})
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"


async def test_tokens_of_other_kinds_are_401(app: RunningApp, person: Person) -> None:
    secret = app.settings.jwt_secret.get_secret_value()
    content = {"sub": str(person.id), "exp": int(time.time()) + 60, "iss": "carteira", "aud": "carteira"}
    ring = (await app.client.get("/.well-known/jwks.json")).json()
    kid = ring["keys"][0]["kid"]
    processor = jwt.encode({"alg": "HS256", "kid": kid}, content, OctKey.import_key(secret))
    unsigned = ".".join(
        base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")
        for part in ({"alg": "none", "kid": kid}, content)
    )
    for token in (processor, unsigned + "."):
        answer = await app.client.get("/users/me", headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 401


async def test_keys_rotate_and_old_tokens_stay_good(app: RunningApp, person: Person) -> None:
    before = (await app.client.get("/.well-known/jwks.json")).json()["keys"]
    assert all("d" not in key for key in before), "no private half"
    kid = tokens.rotate(access_key_file(app.settings))
    ring = app.api.state.identity.ring
    ring._looked_at = 0.0  # noqa: SLF001 - a running app reads its file once a second; the test does not wait
    after = (await app.client.get("/.well-known/jwks.json")).json()
    assert after["keys"][0]["kid"] == kid != before[0]["kid"]
    assert before[0]["kid"] in [key["kid"] for key in after["keys"]]
    assert (await app.client.get("/users/me", headers=person.headers)).status_code == 200
    await sign_in(person)
    assert (await app.client.get("/users/me", headers=person.headers)).status_code == 200
    decoded = jwt.decode(person.tokens["access_token"], KeySet.import_key_set(after), algorithms=["Ed25519"])
    assert decoded.header["kid"] == kid


def test_a_token_of_a_key_that_another_process_has_just_made_is_good_at_once(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "access.pem"
    here = tokens.SigningKeys(path, create=True)
    tokens.rotate(path)
    token = tokens.sign(tokens.SigningKeys(path).current, subject="x", ttl_seconds=60, claims={})
    assert here.verify(token)["sub"] == "x"


def test_a_key_retired_long_ago_is_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "access.pem"
    ring = tokens.SigningKeys(path, create=True)
    old = tokens.sign(ring.current, subject="x", ttl_seconds=60, claims={})
    tokens.rotate(path)
    retired = next(path.parent.glob("*.retired.pem"))
    assert retired.stat().st_mode & 0o077 == 0
    assert tokens.SigningKeys(path).verify(old)["sub"] == "x"
    long_ago = time.time() - tokens.RETIRED_SECONDS - 1
    os.utime(retired, (long_ago, long_ago))
    with pytest.raises(tokens.InvalidToken):
        tokens.SigningKeys(path).verify(old)
    tokens.rotate(path)
    assert not retired.exists()


async def test_a_demo_person_is_for_development_only(app: RunningApp, monkeypatch: pytest.MonkeyPatch) -> None:
    person = await sign_in(await register(app))
    async with app.database.transaction() as tx:
        await prove(tx, (), person.id, CpfProof(person.cpf, "demo"))
    login = {"username": person.cpf, "password": PASSWORD}
    tokens = (await app.client.post("/auth/login", data=login)).json()
    runtime = app.api.state.identity
    monkeypatch.setattr(app.api.state, "identity", replace(runtime, config=replace(runtime.config, development=False)))
    refused = await app.client.post("/auth/login", data=login)
    assert (refused.status_code, refused.json()["code"]) == (403, "demo_account")
    refreshed = await app.client.post("/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
    assert refreshed.status_code == 401, "a development session ends, too"
    real = await sign_in(await register(app))
    assert (await real.get("/users/me")).status_code == 200
