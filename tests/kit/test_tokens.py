import base64
import hmac
import json
import shutil
import stat
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import OKPKey

from carteira.kit.security import tokens
from carteira.kit.security.key_ring import KeyWaits

KEY = OKPKey.generate_key("Ed25519")
GOOD = {"iss": "carteira", "aud": "carteira", "sub": "me", "exp": 4_000_000_000}


def signed(claims: dict[str, Any], key: OKPKey = KEY) -> str:
    return jwt.encode({"alg": "Ed25519"}, claims, key, algorithms=["Ed25519"])


def part(content: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")


def test_a_token_returns_its_signed_content() -> None:
    token = tokens.sign(KEY, subject="me", ttl_seconds=60, claims={"claims": ["x:read"]})
    content = tokens.verify(KEY, token)
    assert (content["sub"], content["claims"], content["exp"] - content["iat"]) == ("me", ["x:read"], 60)


def test_the_public_half_is_enough_to_verify() -> None:
    public = OKPKey.import_key(KEY.as_pem(private=False))
    assert tokens.verify(public, signed(GOOD))["sub"] == "me"


def test_no_signature_is_no_token() -> None:
    for algorithm in ("none", "None", "NONE", ""):
        for signature in ("", signed(GOOD).rpartition(".")[2]):
            with pytest.raises(tokens.InvalidToken):
                tokens.verify(KEY, f"{part({'alg': algorithm})}.{part(GOOD)}.{signature}")


@pytest.mark.parametrize("form", ["pem", "raw"])
def test_the_public_key_is_no_shared_secret(form: str) -> None:
    raw = base64.urlsafe_b64decode(KEY.as_dict(private=False)["x"] + "==")  # type: ignore[operator] # text by RFC 8037
    secret = KEY.as_pem(private=False) if form == "pem" else raw
    content = f"{part({'alg': 'HS256'})}.{part(GOOD)}"
    signature = base64.urlsafe_b64encode(hmac.digest(secret, content.encode(), "sha256")).decode().rstrip("=")
    with pytest.raises(tokens.InvalidToken):
        tokens.verify(KEY, f"{content}.{signature}")


@pytest.mark.parametrize(
    "change",
    [
        {"aud": "authorizer"},
        {"aud": None},
        {"iss": "another"},
        {"iss": None},
        {"exp": 1},
        {"exp": None},
        {"exp": "soon"},
        {"sub": None},
        {"nbf": 3_999_999_999},
    ],
    ids=str,
)
def test_each_claim_is_checked(change: dict[str, Any]) -> None:
    claims = {name: value for name, value in (GOOD | change).items() if value is not None}
    with pytest.raises(tokens.InvalidToken):
        tokens.verify(KEY, signed(claims))


def test_another_key_and_another_content_are_refused() -> None:
    with pytest.raises(tokens.InvalidToken):
        tokens.verify(KEY, signed(GOOD, OKPKey.generate_key("Ed25519")))
    head, _, signature = signed(GOOD).split(".")
    with pytest.raises(tokens.InvalidToken):
        tokens.verify(KEY, f"{head}.{part(GOOD | {'sub': 'you'})}.{signature}")


NESTED = base64.urlsafe_b64encode(b"[" * 40_000).decode()


@given(st.text(max_size=100) | st.lists(st.text("AZaz09-_", max_size=20), max_size=5).map(".".join))
@example("")
@example("a.b.c")
@example("é.ü.ñ")
@example(f"{NESTED}.{NESTED}.{NESTED}")
@example(f"{part([])}.{part([])}.")
@example(f"{part({'alg': ['Ed25519']})}.{part(GOOD)}.AAAA")
@example(f"{part({'alg': 'Ed25519', 'crit': ['b64'], 'b64': False})}.{part(GOOD)}.AAAA")
def test_rubbish_is_no_token(text: str) -> None:
    with pytest.raises(tokens.InvalidToken):
        tokens.verify(KEY, text)


def test_the_key_is_made_once_and_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "access.pem"
    made = tokens.load_or_create_key(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert tokens.load_or_create_key(path).as_dict(private=True) == made.as_dict(private=True)


def test_a_key_that_waits_verifies_elsewhere_before_it_signs_here(tmp_path: Path) -> None:
    here, there = tmp_path / "here" / "access-token.pem", tmp_path / "there" / "access-token.pem"
    tokens.create_key(here)
    kid = tokens.prepare(here)
    with pytest.raises(KeyWaits, match=kid):
        tokens.prepare(here)
    shutil.copytree(here.parent, there.parent)
    assert tokens.SigningKeys(here).current.kid != kid
    assert tokens.rotate(here) == kid
    assert tokens.waiting_keys(here) == []
    token = tokens.sign(tokens.load_key(here), subject="me", ttl_seconds=60, claims={})
    assert tokens.SigningKeys(there).verify(token)["sub"] == "me"
    shutil.copytree(here.parent, there.parent, dirs_exist_ok=True)
    assert tokens.prepare(there) != kid, "what is left of the copy before waits no more"


def test_a_stolen_key_takes_the_one_that_waits_along(tmp_path: Path) -> None:
    path = tmp_path / "access-token.pem"
    tokens.create_key(path)
    kid = tokens.prepare(path)
    waiting = tokens.load_key(tokens.waiting_keys(path)[0])
    assert tokens.rotate(path, retire=False) != kid
    with pytest.raises(tokens.InvalidToken):
        tokens.SigningKeys(path).verify(tokens.sign(waiting, subject="x", ttl_seconds=60, claims={}))


def test_a_verified_token_is_good_until_it_expires_or_its_key_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "access-token.pem"
    ring = tokens.SigningKeys(path, create=True)
    short, long = (tokens.sign(ring.current, subject="me", ttl_seconds=ttl, claims={}) for ttl in (60, 7_200))
    assert ring.verify(short) is ring.verify(short), "its signature is verified once"
    assert ring.verify(long)["sub"] == "me"
    now = time.time()
    with monkeypatch.context() as later:
        later.setattr(time, "time", lambda: now + 3_600)
        with pytest.raises(tokens.InvalidToken):
            ring.verify(short)
        assert ring.verify(long)["sub"] == "me"
    tokens.rotate(path, retire=False)
    monkeypatch.setattr(ring, "_looked_at", 0.0)
    with pytest.raises(tokens.InvalidToken):
        ring.verify(long)


def test_verified_tokens_are_remembered_up_to_a_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "_REMEMBERED", 2)
    ring = tokens.SigningKeys(tmp_path / "access-token.pem", create=True)
    first, second, third = (
        tokens.sign(ring.current, subject=name, ttl_seconds=60, claims={}) for name in ("a", "b", "c")
    )
    contents = [ring.verify(one) for one in (first, second, third)]
    assert ring.verify(third) is contents[2]
    assert ring.verify(first) is not contents[0], "the one verified longest ago made room"


@pytest.mark.parametrize("name", ["access-token.pem", "access-token-x.retired.pem", "access-token-x.waiting.pem"])
def test_a_file_that_is_half_copied_stops_nobody(name: str, tmp_path: Path) -> None:
    path = tmp_path / "access-token.pem"
    tokens.create_key(path)
    keys = tokens.SigningKeys(path)
    token = tokens.sign(keys.current, subject="x", ttl_seconds=60, claims={})
    (tmp_path / name).write_text("-----BEGIN PRIV")
    keys._looked_at = 0.0  # noqa: SLF001 - a running app reads its file once a second; the test does not wait
    assert keys.verify(token)["sub"] == "x"
