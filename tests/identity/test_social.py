"""Google and Meta sign-in against a provider on a real socket."""

import asyncio
import hmac
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import httpx
import pyotp
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey
from sqlalchemy import text

from carteira.embedded import Endpoints, free_port
from carteira.identity.errors import SocialRefused
from carteira.identity.social import service as social
from carteira.identity.social.providers import UnknownKey, read_id_token
from carteira.kit.values.clock import clock
from tests.support.app import RunningApp
from tests.support.authenticator import b64
from tests.support.mail import body_of, mail_to
from tests.support.oidc_provider import Provider, running_provider
from tests.support.people import Person, new_cpf, new_person, random_address, register, sign_in

CLIENT, SECRET = "carteira-teste", "segredo-do-cliente"


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with running_provider() as provider:
        yield provider


def pointing_at(url: str) -> dict[str, str]:
    return {
        "google_client_id": CLIENT,
        "google_client_secret": SECRET,
        "google_issuer": url,
        "meta_client_id": CLIENT,
        "meta_client_secret": SECRET,
        "meta_authorize_url": f"{url}/oauth2/authorize",
        "meta_token_url": f"{url}/oauth2/token",
        "meta_user_url": f"{url}/userinfo",
        "public_url": "http://carteira",
    }


@pytest.fixture
async def app(start_app: Callable[..., Awaitable[RunningApp]], provider: Provider) -> RunningApp:
    return await start_app(**pointing_at(provider.url))


@pytest.fixture
async def browser(app: RunningApp) -> AsyncIterator[httpx.AsyncClient]:
    """A browser with cookies of its own."""
    async with app.at(random_address()) as browser:
        yield browser


async def start_sign_in(browser: httpx.AsyncClient, name: str = "google") -> str:
    answer = await browser.get(f"/auth/{name}/login")
    assert answer.status_code == 302, answer.text
    return str(answer.headers["location"])


async def travel(browser: httpx.AsyncClient, provider: Provider, subject: str, name: str = "google") -> httpx.Response:
    return await browser.get(provider.agree(await start_sign_in(browser, name), subject))


def provider_account(provider: Provider, **claims: object) -> tuple[str, str]:
    """Create an account at the provider; return its subject and e-mail."""
    subject = uuid4().hex
    email = f"joana.{subject}@gmail.com"
    provider.knows(subject, **({"name": "Joana Prado", "email": email, "email_verified": True} | claims))
    return subject, email


def sign_up(token: str) -> dict[str, str]:
    return {"registration_token": token, "cpf": new_cpf(), "birth_date": "1991-02-03", "phone": "11912345678"}


@pytest.mark.parametrize("name", ["google", "meta"])
async def test_an_unknown_person_signs_up_and_signs_in_again(
    provider: Provider, browser: httpx.AsyncClient, name: str
) -> None:
    subject, email = provider_account(provider)
    offered = await travel(browser, provider, subject, name)
    assert offered.status_code == 200, offered.text
    assert (offered.json()["full_name"], offered.json()["email"]) == ("Joana Prado", email)
    body = sign_up(offered.json()["registration_token"])
    answer = await browser.post("/auth/social/register", json=body)
    assert answer.status_code == 201, answer.text
    headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    me = (await browser.get("/users/me", headers=headers)).json()
    assert (me["full_name"], me["email"], me["role"]["description"]) == ("Joana Prado", email, "cidadão")
    again = await browser.post("/auth/social/register", json=body)
    assert (again.status_code, again.json()["code"]) == (401, "registration_over")

    back = (await travel(browser, provider, subject, name)).json()
    assert back["user_id"] == me["id"]
    headers = {"Authorization": f"Bearer {back['access_token']}"}
    assert (await browser.get("/auth/sessions", headers=headers)).json()["items"][0]["methods"] == [name]
    held = (await browser.get("/users/me/data", headers=headers)).json()["identity"]
    assert [(item["provider"], item["subject"]) for item in held["social_accounts"]] == [(name, subject)]
    # Google is the authority on gmail.com's addresses; Meta on none.
    assert held["user"]["email_confirmed"] is (name == "google")


async def test_requests_to_the_provider_are_complete(provider: Provider, browser: httpx.AsyncClient) -> None:
    subject, _ = provider_account(provider)
    assert (await travel(browser, provider, subject)).status_code == 200
    asked = next(item for item in reversed(provider.seen()) if item["path"] == "/oauth2/authorize")
    assert asked["redirect_uri"] == "http://carteira/auth/google/callback"
    assert (asked["response_type"], asked["code_challenge_method"]) == ("code", "S256")
    exchanged = next(item for item in reversed(provider.seen()) if item["path"] == "/oauth2/token")
    assert 43 <= len(exchanged["code_verifier"]) <= 128
    secrets = {asked["state"], asked["nonce"], asked["code_challenge"], exchanged["code_verifier"]}
    assert len(secrets) == 4
    assert min(map(len, secrets)) >= 43


async def test_pkce_and_nonce_are_checked(provider: Provider, browser: httpx.AsyncClient) -> None:
    subject, _ = provider_account(provider)
    for name in ("google", "meta"):
        back = provider.agree(await start_sign_in(browser, name), subject, code_challenge="A" * 43)
        answer = await browser.get(back)
        assert (answer.status_code, answer.json()["code"]) == (401, "social_refused")
    answer = await browser.get(provider.agree(await start_sign_in(browser), subject, nonce="de-outra-viagem"))
    assert (answer.status_code, answer.json()["code"]) == (401, "social_refused")


async def test_another_persons_code_does_not_pass(
    app: RunningApp, provider: Provider, browser: httpx.AsyncClient
) -> None:
    """An attacker's code in a victim's flow fails, because its PKCE challenge is another."""
    theirs, _ = provider_account(provider)
    async with app.at(random_address()) as attacker:
        stolen = parse_qs(urlsplit(provider.agree(await start_sign_in(attacker), theirs)).query)["code"][0]
    own = parse_qs(urlsplit(await start_sign_in(browser)).query)["state"][0]
    answer = await browser.get("/auth/google/callback", params={"state": own, "code": stolen})
    assert (answer.status_code, answer.json()["code"]) == (401, "social_refused")


async def test_a_state_is_of_one_browser_one_provider_and_one_use(
    app: RunningApp, provider: Provider, browser: httpx.AsyncClient
) -> None:
    over = (401, "social_attempt_over")
    subject, _ = provider_account(provider)
    back = provider.agree(await start_sign_in(browser), subject)
    async with app.at(random_address()) as stranger:
        answer = await stranger.get(back)
        assert (answer.status_code, answer.json()["code"]) == over
        await start_sign_in(stranger)
        answer = await stranger.get(back)
        assert (answer.status_code, answer.json()["code"]) == over, "a cookie of another flow does not help"
    answer = await browser.get(back.replace("/google/", "/meta/"))
    assert (answer.status_code, answer.json()["code"]) == over
    cookie = browser.cookies["carteira_social"]
    assert (await browser.get(back)).status_code == 200
    assert "carteira_social" not in browser.cookies
    answer = await browser.get(back, headers={"Cookie": f"carteira_social={cookie}"})
    assert (answer.status_code, answer.json()["code"]) == over
    back = provider.agree(await start_sign_in(browser), subject)
    clock.advance(timedelta(minutes=10, seconds=1))
    assert (await browser.get(back)).json()["code"] == "social_attempt_over"


async def test_the_cookie_is_kept_from_scripts_and_other_sites(browser: httpx.AsyncClient) -> None:
    cookie = (await browser.get("/auth/google/login")).headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert "path=/;" in cookie


async def test_a_refusal_at_the_provider_signs_nobody_in(provider: Provider, browser: httpx.AsyncClient) -> None:
    state = parse_qs(urlsplit(await start_sign_in(browser)).query)["state"][0]
    answer = await browser.get("/auth/google/callback", params={"state": state, "error": "access_denied"})
    assert (answer.status_code, answer.json()["code"]) == (401, "social_refused")
    assert provider.process.poll() is None


async def test_rubbish_is_refused(browser: httpx.AsyncClient) -> None:
    for query in ("", "?state=", "?state=x&code=y", "?code=y", "?state=%00&code=%00", "?state=%F0%9F%92%A9"):
        assert (await browser.get(f"/auth/google/callback{query}")).status_code == 401, query
    assert (await browser.get("/auth/google/callback", params={"state": "x" * 201})).status_code == 422
    assert (await browser.get("/auth/orkut/login")).status_code == 422
    answer = await browser.post("/auth/social/register", json=sign_up("x"))
    assert (answer.status_code, answer.json()["code"]) == (401, "registration_over")
    state = parse_qs(urlsplit(await start_sign_in(browser)).query)["state"][0]
    answer = await browser.get("/auth/google/callback", params={"state": state, "code": "inventado"})
    assert (answer.status_code, answer.json()["code"]) == (401, "social_refused")


async def test_a_provider_that_is_not_configured_does_not_exist(
    start_app: Callable[..., Awaitable[RunningApp]],
) -> None:
    app = await start_app()
    for path in ("/auth/google/login", "/auth/meta/callback?state=x&code=y"):
        answer = await app.client.get(path)
        assert (answer.status_code, answer.json()["code"]) == (404, "sign_in_unavailable")


@pytest.mark.parametrize("name", ["google", "meta"])
async def test_a_provider_that_is_down_is_503(start_app: Callable[..., Awaitable[RunningApp]], name: str) -> None:
    with running_provider() as provider:
        app = await start_app(**pointing_at(provider.url))
        subject, _ = provider_account(provider)
        back = provider.agree(await start_sign_in(app.client, name), subject)
        provider.process.terminate()
        provider.process.wait()
        answer = await app.client.get(back)
    assert (answer.status_code, answer.json()["code"]) == (503, "provider_down")
    assert int(answer.headers["retry-after"]) > 0
    dead = await start_app(**pointing_at(f"http://127.0.0.1:{free_port()}"))
    assert (await dead.client.get("/auth/google/login")).json()["code"] == "provider_down"


async def test_another_issuers_document_is_not_taken(
    start_app: Callable[..., Awaitable[RunningApp]], provider: Provider
) -> None:
    app = await start_app(**pointing_at(provider.url) | {"google_issuer": f"{provider.url}/another"})
    answer = await app.client.get("/auth/google/login")
    assert (answer.status_code, answer.json()["code"]) == (503, "provider_down")


async def test_fields_that_the_provider_omits_are_asked_for(provider: Provider, browser: httpx.AsyncClient) -> None:
    subject = uuid4().hex
    provider.knows(subject, name="Mononome", email="isto não é um e-mail", email_verified=True)
    offered = (await travel(browser, provider, subject)).json()
    assert "full_name" not in offered
    assert "email" not in offered
    body = sign_up(offered["registration_token"])
    answer = await browser.post("/auth/social/register", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "missing_fields")
    assert [error["field"] for error in answer.json()["errors"]] == ["full_name", "email"]
    body |= {"full_name": "Mona Nome", "email": f"{subject}@exemplo.com.br"}
    assert (await browser.post("/auth/social/register", json=body)).status_code == 201


async def test_an_address_that_a_provider_asserts_links_nobody(
    app: RunningApp, provider: Provider, browser: httpx.AsyncClient, endpoints: Endpoints
) -> None:
    person = await register(app)
    subject, _ = provider_account(provider, email=person.email)
    offered = (await travel(browser, provider, subject)).json()
    assert "access_token" not in offered
    body = sign_up(offered["registration_token"])
    answer = await browser.post("/auth/social/register", json=body)
    assert (answer.status_code, answer.json()["code"]) == (409, "email_taken")
    answer = await browser.post(
        "/auth/social/register", json=body | {"cpf": person.cpf, "email": new_person()["email"]}
    )
    assert (answer.status_code, answer.json()["code"]) == (409, "cpf_taken")
    # An address that nobody confirmed gets no code either.
    assert await ask_code(browser, offered["registration_token"], email=person.email) == 202
    await app.work_off()
    assert mail_to(endpoints.maildir, person.email) == []


async def ask_code(browser: httpx.AsyncClient, token: str, **name: str) -> int:
    return (await browser.post("/auth/social/link/code", json={"registration_token": token} | name)).status_code


async def code_sent(
    app: RunningApp, endpoints: Endpoints, browser: httpx.AsyncClient, token: str, person: Person
) -> str:
    assert await ask_code(browser, token, cpf=person.cpf) == 202
    await app.work_off()
    found = re.search(r"\b\d{8}\b", body_of(mail_to(endpoints.maildir, person.email)[-1], "plain"))
    assert found
    return found[0]


async def verify(browser: httpx.AsyncClient, token: str, code: str) -> httpx.Response:
    return await browser.post("/auth/social/link/verify", json={"registration_token": token, "code": code})


async def confirm_email(app: RunningApp, person: Person) -> None:
    async with app.database.transaction() as tx:
        await tx.execute(text("UPDATE users SET email_confirmed_at = now() WHERE id = :id"), {"id": person.id})


async def offer(browser: httpx.AsyncClient, provider: Provider, subject: str) -> str:
    return str((await travel(browser, provider, subject)).json()["registration_token"])


async def test_a_code_to_the_confirmed_address_links(
    app: RunningApp, provider: Provider, browser: httpx.AsyncClient, endpoints: Endpoints
) -> None:
    person = await register(app)
    await confirm_email(app, person)
    subject, _ = provider_account(provider)
    token = await offer(browser, provider, subject)
    code = await code_sent(app, endpoints, browser, token, person)
    assert (await verify(browser, token, "x" + code)).status_code == 401
    answers = await asyncio.gather(*(verify(browser, token, code) for _ in range(3)))
    assert sorted(answer.status_code for answer in answers) == [200, 401, 401]
    back = await travel(browser, provider, subject)
    assert back.json()["user_id"] == str(person.id)
    await app.work_off()
    assert "Google" in body_of(mail_to(endpoints.maildir, person.email)[-1], "plain")


async def test_a_code_takes_five_tries_and_ten_minutes(
    app: RunningApp, provider: Provider, browser: httpx.AsyncClient, endpoints: Endpoints
) -> None:
    person = await register(app)
    await confirm_email(app, person)
    subject, _ = provider_account(provider)
    token = await offer(browser, provider, subject)
    code = await code_sent(app, endpoints, browser, token, person)
    wrong = f"{(int(code) + 1) % 10**6:06}"
    for _ in range(5):
        assert (await verify(browser, token, wrong)).json()["code"] == "wrong_code"
    assert (await verify(browser, token, code)).status_code == 401
    code = await code_sent(app, endpoints, browser, token, person)
    clock.advance(timedelta(minutes=10, seconds=1))
    assert (await verify(browser, token, code)).status_code == 401


async def test_a_code_belongs_to_its_account_and_its_token(
    app: RunningApp, provider: Provider, browser: httpx.AsyncClient, endpoints: Endpoints
) -> None:
    person = await register(app)
    await confirm_email(app, person)
    token = await offer(browser, provider, provider_account(provider)[0])
    other = await offer(browser, provider, provider_account(provider)[0])
    code = await code_sent(app, endpoints, browser, token, person)
    assert await ask_code(browser, other, email=new_person()["email"]) == 202
    assert (await verify(browser, other, code)).status_code == 401
    assert (await verify(browser, token, code)).status_code == 200


async def test_asking_for_codes_is_limited(app: RunningApp, provider: Provider, browser: httpx.AsyncClient) -> None:
    person = await register(app)
    token = await offer(browser, provider, provider_account(provider)[0])
    asked = [await ask_code(browser, token, email=person.email) for _ in range(6)]
    assert asked == [202] * 5 + [429]
    nobody = new_person()["email"]
    assert [await ask_code(browser, token, email=nobody) for _ in range(6)] == asked


async def test_a_signed_in_person_links_lists_and_unlinks(
    app: RunningApp, provider: Provider, browser: httpx.AsyncClient, person: Person
) -> None:
    subject, _ = provider_account(provider)
    token = await offer(browser, provider, subject)
    link = {"registration_token": token}
    assert (await browser.post("/auth/social/link", json=link)).status_code == 401
    answers = await asyncio.gather(
        *(browser.post("/auth/social/link", json=link, headers=person.headers) for _ in range(3))
    )
    assert sorted(answer.status_code for answer in answers) == [204, 401, 401]
    assert (await travel(browser, provider, subject)).json()["user_id"] == str(person.id)
    listed = (await browser.get("/auth/social", headers=person.headers)).json()["items"]
    assert [item["provider"] for item in listed] == ["google"]
    path = f"/auth/social/{listed[0]['id']}"
    other = await sign_in(await register(app))
    assert (await browser.delete(path, headers=other.headers)).status_code == 404
    assert (await browser.get("/auth/social", headers=other.headers)).json()["items"] == []
    assert (await browser.delete(path, headers=person.headers)).status_code == 204
    assert (await browser.delete(path, headers=person.headers)).status_code == 404
    assert "registration_token" in (await travel(browser, provider, subject)).json()


async def test_an_account_links_to_one_person(
    app: RunningApp, provider: Provider, browser: httpx.AsyncClient, person: Person
) -> None:
    subject, _ = provider_account(provider)
    tokens = [await offer(browser, provider, subject) for _ in range(2)]
    other = await sign_in(await register(app))
    answers = await asyncio.gather(
        *(
            browser.post("/auth/social/link", json={"registration_token": token}, headers=who.headers)
            for token, who in zip(tokens, (person, other), strict=True)
        )
    )
    assert sorted(answer.status_code for answer in answers) == [204, 409]


async def test_linking_and_unlinking_want_a_recent_sign_in(
    app: RunningApp, provider: Provider, browser: httpx.AsyncClient, person: Person
) -> None:
    tokens = [await offer(browser, provider, provider_account(provider)[0]) for _ in range(2)]
    link = {"registration_token": tokens[0]}
    assert (await browser.post("/auth/social/link", json=link, headers=person.headers)).status_code == 204
    account = (await browser.get("/auth/social", headers=person.headers)).json()["items"][0]["id"]
    clock.advance(timedelta(minutes=16))
    answers = [
        await app.client.post("/auth/social/link", json={"registration_token": tokens[1]}, headers=person.headers),
        await app.client.delete(f"/auth/social/{account}", headers=person.headers),
    ]
    assert [answer.json()["code"] for answer in answers] == ["recent_sign_in_required"] * 2


async def test_the_authenticator_is_asked_for_too(
    provider: Provider, browser: httpx.AsyncClient, person: Person
) -> None:
    subject, _ = provider_account(provider)
    link = {"registration_token": await offer(browser, provider, subject)}
    assert (await browser.post("/auth/social/link", json=link, headers=person.headers)).status_code == 204
    secret = (await browser.post("/auth/totp", headers=person.headers)).json()["secret"]
    code = pyotp.TOTP(secret).now()
    await browser.post("/auth/totp/confirm", headers=person.headers, json={"code": code})
    back = (await travel(browser, provider, subject)).json()
    assert back.keys() == {"mfa_required", "mfa_token"}
    clock.advance(timedelta(seconds=30))
    code = pyotp.TOTP(secret).at(clock.now())
    answer = await browser.post("/auth/mfa", json={"mfa_token": back["mfa_token"], "code": code})
    assert answer.status_code == 200, answer.text
    headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    session = (await browser.get("/auth/sessions", headers=headers)).json()["items"][0]
    assert session["methods"] == ["google", "totp"]


async def test_erasure_unlinks(provider: Provider, browser: httpx.AsyncClient, person: Person) -> None:
    subject, _ = provider_account(provider)
    link = {"registration_token": await offer(browser, provider, subject)}
    assert (await browser.post("/auth/social/link", json=link, headers=person.headers)).status_code == 204
    assert (await browser.delete(f"/users/{person.id}", headers=person.headers)).status_code == 204
    assert "registration_token" in (await travel(browser, provider, subject)).json()


async def test_waiting_sign_ins_are_sealed_and_deleted(
    app: RunningApp, provider: Provider, browser: httpx.AsyncClient
) -> None:
    subject, email = provider_account(provider)
    token = await offer(browser, provider, subject)
    async with app.database.transaction() as tx:
        rows = (await tx.execute(text("SELECT profile, token_hash FROM social_registrations"))).all()
    assert not any(word.encode() in bytes(part) for row in rows for part in row for word in (subject, email, token))
    clock.advance(timedelta(minutes=31))
    answer = await browser.post("/auth/social/register", json=sign_up(token))
    assert answer.json()["code"] == "registration_over"
    async with app.database.transaction() as tx:
        await social.forget_old(tx)
        assert await tx.scalar(text("SELECT count(*) FROM social_registrations")) == 0


KEY = RSAKey.generate_key(2048, {"kid": "a"})
ISSUER = "https://accounts.google.com"


def id_token(key: RSAKey = KEY, kid: str = "a", **changes: object) -> str:
    now = int(time.time())
    claims: dict[str, Any] = {
        "iss": ISSUER, "aud": CLIENT, "sub": "1", "iat": now, "exp": now + 300, "nonce": "n"
    }  # fmt: skip
    kept = {name: value for name, value in (claims | changes).items() if value is not None}
    return jwt.encode({"alg": "RS256", "kid": kid}, kept, key)


def read(token: str) -> dict[str, Any]:
    return read_id_token(token, KeySet([KEY]), [ISSUER], CLIENT, "n")


def test_a_good_id_token_is_read() -> None:
    assert read(id_token())["sub"] == "1"
    assert read(id_token(aud=[CLIENT, "outro"], azp=CLIENT))["sub"] == "1"


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://mal.exemplo"},
        {"aud": "outro"},
        {"aud": [CLIENT, "outro"]},
        {"aud": [CLIENT, "outro"], "azp": "outro"},
        {"exp": 1},
        {"exp": "nunca"},
        {"nonce": "outro"},
        {"key": RSAKey.generate_key(2048, {"kid": "a"})},
        *({name: None} for name in ("iss", "aud", "sub", "exp", "iat", "nonce")),
    ],
    ids=lambda changes: "-".join(f"{name}:{'other' if name == 'key' else value}" for name, value in changes.items()),
)
def test_a_wrong_id_token_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(SocialRefused):
        read(id_token(**changes))


def test_other_algorithms_and_rubbish_are_refused() -> None:
    content = id_token().split(".")[1]
    head = b64(b'{"alg": "HS256", "kid": "a"}')
    confused = f"{head}.{content}.{b64(hmac.digest(KEY.as_pem(private=False), f'{head}.{content}'.encode(), 'sha256'))}"
    unsigned = b64(b'{"alg": "none"}') + f".{content}."
    for token in (confused, unsigned, "", "a.b.c", "é", id_token()[:-4]):
        with pytest.raises(SocialRefused):
            read(token)
    with pytest.raises(UnknownKey):
        read(id_token(kid="b"))
