"""Passkeys end to end: Chromium's own WebAuthn, with its virtual authenticator (Chrome DevTools Protocol)."""

from playwright.async_api import CDPSession, Page

from tests.support.browser import call
from tests.support.people import new_person

LOGIN = """async ([username, password]) => {
    const body = new URLSearchParams({username, password});
    return await (await fetch('/auth/login', {method: 'POST', body})).json();
}"""
CREATE = """async (options) => {
    const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(options);
    try { return (await navigator.credentials.create({publicKey})).toJSON(); } catch (error) { return error.name; }
}"""
GET = """async (options) => {
    const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(options);
    try { return (await navigator.credentials.get({publicKey})).toJSON(); } catch (error) { return error.name; }
}"""


async def plug_in(page: Page, *, verifies: bool = True) -> tuple[CDPSession, str]:
    """Add a virtual authenticator to the browser; it keeps passkeys, and verifies its user or fails to."""
    devtools = await page.context.new_cdp_session(page)
    await devtools.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": verifies,
        "automaticPresenceSimulation": True,
    }
    return devtools, (await devtools.send("WebAuthn.addVirtualAuthenticator", {"options": options}))["authenticatorId"]


async def signed_in(page: Page) -> tuple[str, str]:
    person = new_person()
    status, user = await call(page, "POST", "/users/register", person)
    assert status == 201, user
    return user["id"], (await page.evaluate(LOGIN, [person["cpf"], person["password"]]))["access_token"]


async def test_a_browser_makes_a_passkey_and_signs_in_with_it(page: Page) -> None:
    devtools, authenticator = await plug_in(page)
    user_id, token = await signed_in(page)
    _, options = await call(page, "POST", "/auth/passkeys/register/options", token=token)
    body = {"credential": await page.evaluate(CREATE, options), "name": "Chromium"}
    status, passkey = await call(page, "POST", "/auth/passkeys/register/verify", body, token)
    assert (status, passkey["name"]) == (201, "Chromium")
    kept = (await devtools.send("WebAuthn.getCredentials", {"authenticatorId": authenticator}))["credentials"]
    assert [item["isResidentCredential"] for item in kept] == [True]

    for _ in range(2):  # the authenticator's counter continues
        _, options = await call(page, "POST", "/auth/passkeys/login/options")
        credential = await page.evaluate(GET, options)
        status, tokens = await call(page, "POST", "/auth/passkeys/login/verify", {"credential": credential})
        assert (status, tokens["user_id"]) == (200, user_id)
    assert (await call(page, "POST", "/auth/passkeys/login/verify", {"credential": credential}))[0] == 401
    _, sessions = await call(page, "GET", "/auth/sessions", token=tokens["access_token"])
    assert sessions["items"][0]["methods"] == ["passkey"]

    _, options = await call(page, "POST", "/auth/passkeys/register/options", token=token)
    assert await page.evaluate(CREATE, options) == "InvalidStateError", "the browser remembers that it has a passkey"


async def test_an_authenticator_that_does_not_verify_the_person_is_refused(page: Page) -> None:
    devtools, authenticator = await plug_in(page)
    _, token = await signed_in(page)
    _, options = await call(page, "POST", "/auth/passkeys/register/options", token=token)
    body = {"credential": await page.evaluate(CREATE, options), "name": "Chromium"}
    assert (await call(page, "POST", "/auth/passkeys/register/verify", body, token))[0] == 201
    await devtools.send("WebAuthn.setUserVerified", {"authenticatorId": authenticator, "isUserVerified": False})
    _, options = await call(page, "POST", "/auth/passkeys/login/options")
    assert await page.evaluate(GET, options) == "NotAllowedError"
    credential = await page.evaluate(GET, {**options, "userVerification": "discouraged"})
    status, problem = await call(page, "POST", "/auth/passkeys/login/verify", {"credential": credential})
    assert (status, problem["code"]) == (401, "passkey_refused")
