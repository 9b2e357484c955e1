"""The card processor's tokens: several secrets during a rotation, and the longest life of a token."""

import base64
import hmac
import time
from pathlib import Path

import pytest
from joserfc.jwk import OctKey

from carteira.benefits.authorizer.asgi import ProcessorTokens
from carteira.cli import tokens as commands
from tests.support.app import running_app, settings_for
from tests.support.benefits import AUTHORIZER, open_benefit_account, processor_token, purchase

OLD, NEW = "the-secret-of-the-years-before-now", "the-secret-of-the-years-from-now-on"
YEAR = 365 * 86_400


def written(payload: str, secret: str = OLD) -> bytes:
    """Sign a payload with its numbers as the test writes them; return the header."""

    def encoded(part: bytes) -> bytes:
        return base64.urlsafe_b64encode(part).rstrip(b"=")

    content = encoded(b'{"alg":"HS256"}') + b"." + encoded(payload.encode())
    return b"Bearer " + content + b"." + encoded(hmac.digest(secret.encode(), content, "sha256"))


async def test_a_secret_is_rotated_without_a_purchase_declined(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    old, new = (f"Bearer {processor_token(OctKey.import_key(secret))}" for secret in (OLD, NEW))

    async def answers(secrets: str) -> list[str]:
        settings = settings_for(
            tmp_path, database_url=database_url, redis_url=redis_url, carteira_modules="benefits", jwt_secret=secrets
        )
        async with running_app(settings) as app:
            account = await open_benefit_account(app.operator(), CASH=10_000)
            own = f"Bearer {commands.processor(settings, commands.TTL)}"
            given = [
                await app.client.post(AUTHORIZER, content=purchase(account), headers={"authorization": header})
                for header in (old, new, own)
            ]
            return [answer.json()["code"] for answer in given]

    assert await answers(OLD) == ["00", "07", "00"]
    assert await answers(f"{OLD}, {NEW}") == ["00", "00", "00"], "the server knows both, the processor changes over"
    assert await answers(f"{NEW},{OLD}") == ["00", "00", "00"], "the first signs"
    assert await answers(NEW) == ["07", "00", "00"], "a removed secret opens nothing"


def test_the_first_secret_signs_and_each_verifies() -> None:
    settings = settings_for(Path(), jwt_secret=f" {NEW} , {OLD},")
    assert settings.jwt_secrets == (NEW, OLD)
    signed = b"Bearer " + commands.processor(settings, commands.TTL).encode()
    assert ProcessorTokens([NEW]).expiry(signed) > time.time()
    assert ProcessorTokens([OLD]).expiry(signed) == 0
    assert ProcessorTokens([OLD, NEW]).expiry(signed) > time.time()
    with pytest.raises(ValueError, match="nenhum segredo"):
        settings_for(Path(), jwt_secret=" , ")


@pytest.mark.parametrize(
    "expiry",
    ["9e99", "1e400", "NaN", "Infinity", "9" * 400, "9" * 5000, "253402300800", "true", '"9e9"', "null", "[1]"],
)
def test_an_impossible_expiry_is_invalid(expiry: str) -> None:
    tokens = ProcessorTokens([NEW, OLD])
    assert tokens.expiry(written(f'{{"exp":{expiry}}}')) == 0
    assert tokens.expiry(written('{"exp":253402300799}')) == 253_402_300_799, "the last second of the year 9999"
    assert tokens.expiry(written('{"exp":4e9}')) == 4_000_000_000


def test_a_tokens_validity_has_a_maximum() -> None:
    now = int(time.time())
    any_time, a_year = ProcessorTokens([OLD]), ProcessorTokens([OLD], most_seconds=YEAR)
    for payload, good in (
        (f'{{"exp":{now + YEAR - 10}}}', True),
        (f'{{"exp":{now + YEAR + 60}}}', False),
        (f'{{"exp":{now + YEAR - 20},"iat":{now - 10}}}', True),
        (f'{{"exp":{now + YEAR - 5},"iat":{now - 10}}}', False),
        (f'{{"exp":{now + 5},"iat":{now - YEAR}}}', False),
    ):
        assert any_time.expiry(written(payload)) > now
        assert (a_year.expiry(written(payload)) > now) == good, payload
