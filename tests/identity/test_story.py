"""The whole life of a person over HTTP on a real socket, and what its logs must not contain."""

import asyncio
import io
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, redirect_stderr
from datetime import timedelta

import httpx
import pyotp
import pytest
import structlog
import uvicorn

from carteira.embedded import Endpoints
from carteira.kit.ops import log
from carteira.kit.values.clock import clock
from tests.support.app import RunningApp
from tests.support.mail import body_of, code_in, mail_to
from tests.support.people import new_person

NEW = "Outra9senha"


@pytest.fixture
async def logged() -> AsyncIterator[io.StringIO]:
    """All log lines, as production would write them."""
    kept, root = io.StringIO(), logging.getLogger()
    handlers, level = root.handlers[:], root.level
    with redirect_stderr(kept):
        log.configure(level="debug", form="json")
    yield kept
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


@asynccontextmanager
async def on_a_socket(app: RunningApp) -> AsyncIterator[httpx.AsyncClient]:
    config = uvicorn.Config(app.application, host="127.0.0.1", port=0, lifespan="off", log_config=None)
    listening = uvicorn.Server(config)
    with_socket = config.bind_socket()
    task = asyncio.create_task(listening.serve(sockets=[with_socket]))
    port = with_socket.getsockname()[1]
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
            yield http
    finally:
        listening.should_exit = True
        await task


async def ok(answer: Awaitable[httpx.Response], status: int = 200) -> httpx.Response:
    given = await answer
    assert given.status_code == status, given.text
    return given


def bearer(tokens: httpx.Response) -> dict[str, str]:
    return {"Authorization": f"Bearer {tokens.json()['access_token']}"}


async def test_the_story_of_a_person(  # noqa: PLR0915 - one story, told in order
    start_app: Callable[..., Awaitable[RunningApp]], endpoints: Endpoints, logged: io.StringIO
) -> None:
    app = await start_app(log_level="debug")
    person = new_person()
    secrets = [person["password"], NEW, person["cpf"], person["email"], "Errada123"]
    async with on_a_socket(app) as http:
        user_id = (await ok(http.post("/users/register", json=person), 201)).json()["id"]
        for name in (person["cpf"], person["email"]):
            tokens = await ok(http.post("/auth/login", data={"username": name, "password": person["password"]}))
        await ok(http.post("/auth/login", data={"username": person["email"], "password": "Errada123"}), 401)

        enrolment = (await ok(http.post("/auth/totp", headers=bearer(tokens)))).json()
        totp = pyotp.TOTP(enrolment["secret"])
        confirm = http.post("/auth/totp/confirm", json={"code": totp.at(clock.now())}, headers=bearer(tokens))
        secrets += [enrolment["secret"], *(await ok(confirm)).json()["recovery_codes"]]
        clock.advance(timedelta(seconds=60))
        login = {"username": person["cpf"], "password": person["password"]}
        challenge = (await ok(http.post("/auth/login", data=login))).json()
        assert challenge["mfa_required"] is True
        body = {"mfa_token": challenge["mfa_token"], "code": totp.at(clock.now())}
        tokens = await ok(http.post("/auth/mfa", json=body))

        old = tokens.json()["refresh_token"]
        renewed = await ok(http.post("/auth/refresh", json={"refresh_token": old}))
        await ok(http.get("/users/me", headers=bearer(renewed)))
        clock.advance(timedelta(seconds=30))
        await ok(http.post("/auth/refresh", json={"refresh_token": old}), 401)
        await ok(http.get("/users/me", headers=bearer(renewed)), 401)

        await ok(http.post("/password-recovery", json={"email": person["email"]}), 202)
        await app.work_off()
        code = code_in(body_of(mail_to(endpoints.maildir, person["email"])[-1], "plain"), 8)
        asked = {"email": person["email"], "code": code}
        reset = (await ok(http.post("/password-recovery/verify", json=asked))).json()["reset_token"]
        await ok(http.post("/password-recovery/reset", json={"reset_token": reset, "new_password": NEW}), 204)
        await app.work_off()

        challenge = (await ok(http.post("/auth/login", data={"username": person["email"], "password": NEW}))).json()
        clock.advance(timedelta(seconds=60))
        body = {"mfa_token": challenge["mfa_token"], "code": totp.at(clock.now())}
        tokens = await ok(http.post("/auth/mfa", json=body))
        writer = app.bearer("*")
        await ok(http.get("/users", headers=bearer(tokens)), 403)
        roles = (await ok(http.get("/roles", headers=writer, params={"limit": 100}))).json()["items"]
        attendant = next(role["id"] for role in roles if role["description"] == "atendente")
        await ok(http.put(f"/users/{user_id}/role", json={"role_id": attendant}, headers=writer))
        await ok(http.get("/users", headers=bearer(tokens)))
        await ok(http.put(f"/users/{user_id}/role", json={"role_id": 1}, headers=writer))
        await ok(http.get("/users", headers=bearer(tokens)), 403)

        export = await ok(http.get("/users/export?format=csv", headers=app.bearer("users:export")))
        assert user_id in export.text
        everything = (await ok(http.get("/users/me/data", headers=bearer(tokens)))).json()
        assert everything["identity"]["user"]["email"] == person["email"]
        await ok(http.delete(f"/users/{user_id}", headers=bearer(tokens)), 204)
        await ok(http.get("/users/me", headers=bearer(tokens)), 401)
        await ok(http.post("/auth/login", data={"username": person["email"], "password": NEW}), 401)
        for given in (tokens, renewed):
            secrets += [given.json()["access_token"], given.json()["refresh_token"]]
        secrets += [old, reset, challenge["mfa_token"], body["code"], code]

    lines = logged.getvalue()
    assert '"event":"request"' in lines, "the story was logged"
    for secret in secrets:
        assert not re.search(rf"(?<![\w.-]){re.escape(secret)}(?![\w-])", lines), "a secret reached the log"
