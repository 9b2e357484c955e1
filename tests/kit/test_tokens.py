import base64
import hmac
import json
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import OKPKey

from carteira.kit.security import tokens

KEY = OKPKey.generate_key("Ed25519")
GOOD = {"iss": "carteira", "aud": "carteira", "sub": "me", "exp": 4_000_000_000}


def signed(claims: dict[str, Any], key: OKPKey = KEY) -> str:
    return jwt.encode({"alg": "Ed25519"}, claims, key, algorithms=["Ed25519"])


def part(content: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")


def test_a_token_comes_back_with_what_was_signed() -> None:
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
