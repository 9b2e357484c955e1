"""Headers for browsers, and the address that links start with, whatever host a request names."""

import base64
import hashlib
import re
from pathlib import Path

import pytest

from tests.support import files
from tests.support.app import running_app, settings_for
from tests.support.documents import upload

PUBLIC = "https://carteira.exemplo.com.br"


@pytest.mark.parametrize("page", ["/docs", "/redoc", "/docs/oauth2-redirect"])
async def test_pages_run_their_own_scripts_only(database_url: str, tmp_path: Path, page: str) -> None:
    settings = settings_for(tmp_path, database_url=database_url, carteira_modules="none")
    async with running_app(settings) as app:
        answer = await app.client.get(page)
    policy = answer.headers["content-security-policy"]
    inline = re.findall(r"<script>(.*?)</script>", answer.text, re.DOTALL)
    assert all(
        f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'" in policy for script in inline
    )
    scripts = policy.partition("script-src ")[2].partition(";")[0]
    assert "unsafe" not in scripts
    assert "default-src 'none'" in policy


async def test_answers_have_a_policy_and_over_tls_say_to_stay_there(database_url: str, tmp_path: Path) -> None:
    plain = settings_for(tmp_path, database_url=database_url, carteira_modules="none")
    for settings in (plain, plain.model_copy(update={"public_url": PUBLIC})):
        async with running_app(settings) as app:
            for path in ("/health", "/nowhere", "/users/me", "/openapi.json"):
                answer = await app.client.get(path)
                policy = answer.headers["content-security-policy"].split("; ")
                assert {"default-src 'none'", "base-uri 'none'", "frame-ancestors 'none'"} <= set(policy)
                is_told = answer.headers.get("strict-transport-security") == "max-age=63072000"
                assert is_told == (settings is not plain)


async def test_links_lead_to_the_public_address_for_any_host_header(database_url: str, tmp_path: Path) -> None:
    settings = settings_for(
        tmp_path,
        database_url=database_url,
        carteira_modules="documents",
        public_url=PUBLIC + "/carteira",
        root_path="/carteira",
    )
    async with running_app(settings) as app:
        person = app.person()
        document = (await upload(person, files.pdf())).json()
        for kind in ("link", "proof"):
            answer = await person.call(
                "POST",
                f"/documents/{document['id']}/{kind}",
                headers={"Host": "evil.example", "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "http"},
            )
            assert answer.json()["url"].startswith(f"{PUBLIC}/carteira/documents/")
        # A prefix, present or not, must not bypass the rules for a path.
        for prefix in ("", "/carteira"):
            assert (await app.client.get(f"{prefix}/documents")).status_code == 401
            assert (await app.client.get(f"{prefix}/health")).status_code == 200
        assert (await app.client.get("/carteira/carteira/health")).status_code == 404
        assert (await app.client.get("/carteiraX/health")).status_code == 404


async def test_a_slash_too_many_is_no_address(database_url: str, tmp_path: Path) -> None:
    settings = settings_for(tmp_path, database_url=database_url, carteira_modules="none")
    async with running_app(settings) as app:
        for method in ("GET", "DELETE", "POST", "PUT"):
            answer = await app.client.request(method, "/users/", headers={"Host": "evil.example"})
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_folders_are_not_listed_and_requests_not_traced(database_url: str, tmp_path: Path) -> None:
    settings = settings_for(tmp_path, database_url=database_url, carteira_modules="none")
    async with running_app(settings) as app:
        for folder in ("/assets", "/assets/", "/assets/docs", "/assets/docs/", "/assets/docs/%2e%2e/%2e%2e"):
            assert (await app.client.get(folder)).status_code == 404
        for path in ("/health", "/users/me", "/docs"):
            answer = await app.client.request("TRACE", path, headers={"X-Told": "nobody"})
            assert answer.status_code == 405
            assert "nobody" not in answer.text
