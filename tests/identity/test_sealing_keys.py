"""The key that seals authenticators' secrets is rotated while people sign in; a rotation resumes where it stopped."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import pyotp
import pytest

from carteira import identity
from carteira.identity.signin import sealing_keys
from carteira.kit.security.sealing import SealedWalk
from carteira.kit.values.clock import clock
from tests.support.app import RunningApp
from tests.support.people import PASSWORD, Person, register, sign_in


@pytest.fixture
async def app(start_app: Callable[..., Awaitable[RunningApp]], tmp_path: Path) -> RunningApp:
    return await start_app(identity_key_file=tmp_path / "identity.key")


async def enrol(app: RunningApp) -> tuple[Person, str]:
    """Register a person whose authenticator is on."""
    person = await sign_in(await register(app))
    secret: str = (await person.post("/auth/totp")).json()["secret"]
    answer = await person.post("/auth/totp/confirm", {"code": pyotp.TOTP(secret).at(clock.now())})
    assert answer.status_code == 200, answer.text
    return person, secret


async def signs_in(app: RunningApp, person: Person, secret: str) -> bool:
    """Return whether a person can sign in with password and authenticator code."""
    clock.advance(timedelta(minutes=1))
    form = {"username": person.email, "password": PASSWORD}
    challenge = (await app.client.post("/auth/login", data=form)).json()["mfa_token"]
    code = pyotp.TOTP(secret).at(clock.now())
    answer = await app.client.post("/auth/mfa", json={"mfa_token": challenge, "code": code})
    return answer.status_code == 200


async def check(app: RunningApp) -> SealedWalk:
    async with app.database.transaction() as tx:
        return await identity.check_sealed(tx, app.api.state.identity.sealer)


async def test_a_rotation_that_stopped_goes_on_and_people_sign_in_throughout(
    app: RunningApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = [await enrol(app) for _ in range(3)]
    ring = app.api.state.identity.sealer
    former = ring.active
    before = await check(app)
    assert before.on_active >= 3
    monkeypatch.setattr(sealing_keys, "_BATCH", 1)

    def stop(_done: int, _total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await identity.rotate_sealing_key(app.database, ring, stop)
    amid = await check(app)
    assert amid.on_former >= 2
    assert [await signs_in(app, *one) for one in people] == [True] * 3
    done = await identity.rotate_sealing_key(app.database, ring, add_key=False)
    after = await check(app)
    assert (done.active_key, after.on_former) == (ring.active.id, 0)
    assert after.on_active == before.on_active
    kept = ring.keys()
    assert former in kept, "links that it sealed are still in use"
    assert [await signs_in(app, *one) for one in people] == [True] * 3
    clock.advance(timedelta(days=32))
    assert (await identity.rotate_sealing_key(app.database, ring, add_key=False)).retired == [former.id]
    assert [await signs_in(app, *one) for one in people] == [True] * 3


async def test_a_secret_that_no_key_opens_is_counted_and_left(app: RunningApp) -> None:
    person, secret = await enrol(app)
    ring = app.api.state.identity.sealer
    content = ring.path.read_bytes()
    ring.path.unlink()
    ring.make()
    done = await identity.rotate_sealing_key(app.database, ring, add_key=False)
    assert done.unreadable >= 1
    assert (await check(app)).unreadable == done.unreadable
    ring.path.write_bytes(content)
    assert await signs_in(app, person, secret)
