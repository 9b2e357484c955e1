"""gov.br sign-in against a provider on a real socket: it proves the CPF that is its subject."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import httpx
import pytest
from sqlalchemy import text

from carteira.embedded import Endpoints
from tests.identity.test_proof import prove, prover, without_cpf
from tests.support.app import RunningApp
from tests.support.mail import mail_to
from tests.support.oidc_provider import Provider, running_provider
from tests.support.people import Person, new_cpf, random_address, register, sign_in

SILVER = {"reliability_info": {"level": "silver", "reliabilities": [{"id": "301"}]}}


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with running_provider() as provider:
        yield provider


def pointing_at(url: str) -> dict[str, str]:
    return {
        "govbr_client_id": "carteira.exemplo",
        "govbr_client_secret": "segredo do cliente",
        "govbr_issuer": url + "/",
        "govbr_api_url": url,
        "public_url": "http://carteira",
    }


@pytest.fixture
async def app(start_app: Callable[..., Awaitable[RunningApp]], provider: Provider) -> RunningApp:
    return await start_app(**pointing_at(provider.url))


@pytest.fixture
async def browser(app: RunningApp) -> AsyncIterator[httpx.AsyncClient]:
    async with app.at(random_address()) as browser:
        yield browser


async def travel(browser: httpx.AsyncClient, provider: Provider, cpf: str, **changes: str) -> httpx.Response:
    """Go to gov.br as the person with a CPF, and come back."""
    left = await browser.get("/auth/govbr/login")
    assert left.status_code == 302, left.text
    return await browser.get(provider.agree(str(left.headers["location"]), cpf, **changes))


def known(provider: Provider, cpf: str | None = None, **claims: object) -> str:
    """Create a gov.br account, of level silver by default; return its CPF."""
    cpf = cpf or new_cpf()
    told = {"name": "Joana Prado", "email": f"joana.{cpf}@exemplo.com.br", "email_verified": True}
    provider.knows(cpf, **(told | SILVER | claims))
    return cpf


async def offered(browser: httpx.AsyncClient, provider: Provider, cpf: str) -> dict[str, str]:
    answer = await travel(browser, provider, cpf)
    assert answer.status_code == 200, answer.text
    body: dict[str, str] = answer.json()
    return body


async def signed_up(app: RunningApp, browser: httpx.AsyncClient, token: str, **more: str) -> Person:
    body = {"registration_token": token, "birth_date": "1991-02-03", "phone": "11912345678"} | more
    answer = await browser.post("/auth/social/register", json=body)
    assert answer.status_code == 201, answer.text
    headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    me = (await browser.get("/users/me", headers=headers)).json()
    return Person(app.client, me["id"], headers, me["cpf"] or "", me["email"])


async def test_an_unknown_person_signs_up_with_a_proven_cpf_and_comes_back(
    app: RunningApp, provider: Provider, browser: httpx.AsyncClient
) -> None:
    cpf = known(provider)
    offer = await offered(browser, provider, cpf)
    assert (offer["cpf"], offer.get("cpf_held"), offer["full_name"]) == (cpf, None, "Joana Prado")
    person = await signed_up(app, browser, offer["registration_token"])
    me = (await person.get("/users/me")).json()
    assert (me["cpf"], me["cpf_state"], me["cpf_proven_by"]) == (cpf, "proven", "govbr")
    back = await travel(browser, provider, cpf)
    assert back.json()["user_id"] == person.id
    headers = {"Authorization": f"Bearer {back.json()['access_token']}"}
    assert (await browser.get("/auth/sessions", headers=headers)).json()["items"][0]["methods"] == ["govbr"]


async def test_requests_to_gov_br_are_complete(provider: Provider, browser: httpx.AsyncClient) -> None:
    await offered(browser, provider, known(provider))
    asked = next(item for item in reversed(provider.seen()) if item["path"] == "/oauth2/authorize")
    assert asked["scope"] == "openid email profile govbr_confiabilidades govbr_confiabilidades_idtoken"
    assert (asked["code_challenge_method"], asked["redirect_uri"]) == ("S256", "http://carteira/auth/govbr/callback")
    exchanged = next(item for item in reversed(provider.seen()) if item["path"] == "/oauth2/token")
    assert exchanged["authorization"].startswith("Basic ")
    assert "client_secret" not in exchanged


@pytest.mark.parametrize("level", ["bronze", "platinum", ""])
async def test_below_silver_nobody_is_proven_signed_in_or_signed_up(
    app: RunningApp, provider: Provider, browser: httpx.AsyncClient, level: str
) -> None:
    squatter = await register(app)
    cpf = known(provider, squatter.cpf, reliability_info={"level": level})
    provider.reached(cpf, "1")
    answer = await travel(browser, provider, cpf)
    assert (answer.status_code, answer.json()["code"]) == (403, "govbr_level_too_low")
    assert (answer.json()["level"], answer.json()["wanted"]) == ("bronze", "silver")
    assert "access_token" not in answer.text
    assert "registration_token" not in answer.text
    assert (await squatter.get("/users/me")).json()["cpf_state"] == "declared"


async def test_a_level_that_fell_signs_nobody_in(
    app: RunningApp, provider: Provider, browser: httpx.AsyncClient
) -> None:
    cpf = known(provider)
    await signed_up(app, browser, (await offered(browser, provider, cpf))["registration_token"])
    known(provider, cpf, reliability_info={"level": "bronze"})
    assert (await travel(browser, provider, cpf)).json()["code"] == "govbr_level_too_low"


async def test_the_level_is_a_setting(start_app: Callable[..., Awaitable[RunningApp]], provider: Provider) -> None:
    app = await start_app(**pointing_at(provider.url) | {"govbr_level": "gold"})
    async with app.at(random_address()) as browser:
        assert (await travel(browser, provider, known(provider))).json()["wanted"] == "gold"
        gold = known(provider, reliability_info={"level": "gold"})
        assert (await offered(browser, provider, gold))["cpf"] == gold


async def test_the_level_is_fetched_if_the_token_lacks_it(provider: Provider, browser: httpx.AsyncClient) -> None:
    cpf = known(provider, reliability_info=None)
    answer = await travel(browser, provider, cpf)
    assert (answer.status_code, answer.json()["code"]) == (503, "provider_down"), "the API refuses"
    for levels, status in (((), 403), (("1",), 403), (("1", "2"), 200), (("3", "1"), 200)):
        provider.reached(cpf, *levels)
        assert (await travel(browser, provider, cpf)).status_code == status, levels


@pytest.mark.parametrize("subject", ["12345678900", "joana", "0"])
async def test_a_subject_that_is_no_cpf_is_refused(
    provider: Provider, browser: httpx.AsyncClient, subject: str
) -> None:
    answer = await travel(browser, provider, known(provider, subject))
    assert (answer.status_code, answer.json()["code"]) == (401, "social_refused")


async def test_a_stolen_code_or_another_trips_nonce_proves_nothing(
    provider: Provider, browser: httpx.AsyncClient
) -> None:
    cpf = known(provider)
    for changes in ({"code_challenge": "A" * 43}, {"nonce": "de-outra-viagem"}):
        answer = await travel(browser, provider, cpf, **changes)
        assert (answer.status_code, answer.json()["code"]) == (401, "social_refused")


async def test_the_person_of_a_cpf_takes_it_from_an_account_that_typed_it(
    app: RunningApp, provider: Provider, browser: httpx.AsyncClient, endpoints: Endpoints
) -> None:
    squatter = await sign_in(await register(app, password="Outra7senhaForte"))
    cpf = known(provider, squatter.cpf)
    offer = await offered(browser, provider, cpf)
    assert offer["cpf_held"] == "declared"
    assert (await squatter.get("/users/me")).json()["cpf"] == cpf, "nothing moves before the person confirms"
    person = await signed_up(app, browser, offer["registration_token"])
    assert person.cpf == cpf
    left = (await squatter.get("/users/me")).json()
    assert (left["cpf"], left["cpf_state"]) == (None, "moved")
    await app.work_off()
    assert endpoints.maildir is not None
    assert "O CPF saiu da sua conta" in [message["Subject"] for message in mail_to(endpoints.maildir, squatter.email)]


async def test_an_existing_person_links_gov_br_and_is_proven(
    app: RunningApp, provider: Provider, browser: httpx.AsyncClient, person: Person
) -> None:
    offer = await offered(browser, provider, known(provider, person.cpf))
    linked = await person.post("/auth/social/link", {"registration_token": offer["registration_token"]})
    assert linked.status_code == 204, linked.text
    me = (await person.get("/users/me")).json()
    assert (me["cpf_state"], me["cpf_proven_by"]) == ("proven", "govbr")
    assert (await travel(browser, provider, person.cpf)).json()["user_id"] == str(person.id)
    withdrawn = await prover(app).call("DELETE", f"/users/{person.id}/cpf-proof")
    assert withdrawn.status_code == 204
    assert "registration_token" in (await offered(browser, provider, person.cpf)), (
        "this sign-in was removed with the proof"
    )


async def test_gov_br_corrects_a_cpf_that_was_typed_wrong_and_no_proven_one(
    provider: Provider, browser: httpx.AsyncClient, person: Person
) -> None:
    right = known(provider)
    offer = await offered(browser, provider, right)
    assert (await person.post("/auth/social/link", {"registration_token": offer["registration_token"]})).is_success
    assert (await person.get("/users/me")).json()["cpf"] == right
    offer = await offered(browser, provider, known(provider))
    refused = await person.post("/auth/social/link", {"registration_token": offer["registration_token"]})
    assert (refused.status_code, refused.json()["code"]) == (409, "cpf_differs")
    assert (await person.get("/users/me")).json()["cpf"] == right
    body = {"registration_token": offer["registration_token"], "birth_date": "1991-02-03", "phone": "11912345678"}
    other = await browser.post("/auth/social/register", json=body | {"cpf": new_cpf()})
    assert (other.status_code, other.json()["code"]) == (409, "cpf_differs")


async def test_gov_br_and_an_operator_prove_one_cpf_of_two_people(
    app: RunningApp, provider: Provider, browser: httpx.AsyncClient
) -> None:
    holder = await register(app)
    await prove(prover(app), holder, holder.cpf)
    offer = await offered(browser, provider, known(provider, holder.cpf))
    assert offer["cpf_held"] == "proven"
    claimant = await signed_up(app, browser, offer["registration_token"])
    assert (await claimant.get("/users/me")).json()["cpf_state"] == "none"
    assert (await holder.get("/users/me")).json()["cpf_state"] == "proven"
    listed = (await prover(app).get("/users/cpf-disputes", limit=100)).json()["items"]
    assert [case["proven_by"] for case in listed if case["claimant_id"] == str(claimant.id)] == ["govbr"]
    assert (await travel(browser, provider, holder.cpf)).json()["user_id"] == str(claimant.id), "their own account"
    assert (await claimant.get("/users/me")).json()["cpf_state"] == "none"

    assert (await prover(app).call("DELETE", f"/users/{holder.id}/cpf-proof")).status_code == 204
    assert (await travel(browser, provider, holder.cpf)).status_code == 200
    assert (await claimant.get("/users/me")).json()["cpf_state"] == "proven", "the next sign-in proves it again"
    assert (await holder.get("/users/me")).json()["cpf_state"] == "moved"


async def test_linking_to_a_disputed_cpf_says_so_and_keeps_the_way_in(
    app: RunningApp, provider: Provider, browser: httpx.AsyncClient
) -> None:
    holder, claimant = await register(app), await sign_in(await without_cpf(app))
    await prove(prover(app), holder, holder.cpf)
    offer = await offered(browser, provider, known(provider, holder.cpf))
    refused = await claimant.post("/auth/social/link", {"registration_token": offer["registration_token"]})
    assert (refused.status_code, refused.json()["code"]) == (409, "cpf_disputed")
    async with app.database.transaction() as tx:
        rows = await tx.scalars(text("SELECT user_id FROM social_accounts WHERE subject = :cpf"), {"cpf": holder.cpf})
        assert rows.all() == [claimant.id]
        assert await tx.scalar(
            text("SELECT count(*) FROM cpf_disputes WHERE claimant_id = :id AND closed_at IS NULL"), {"id": claimant.id}
        )


async def test_without_its_settings_gov_br_is_not_there(start_app: Callable[..., Awaitable[RunningApp]]) -> None:
    app = await start_app()
    answer = await app.client.get("/auth/govbr/login")
    assert (answer.status_code, answer.json()["code"]) == (404, "sign_in_unavailable")
