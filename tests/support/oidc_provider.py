"""A provider on a real socket: `oidc-provider-mock`, and the check of PKCE that it lacks.

Run as its own process (`python -m tests.support.oidc_provider`); it prints its port to standard output.
"""

import base64
import hashlib
import io
import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit, urlunsplit

import httpx

Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class Strict:
    """Checks PKCE (RFC 7636, section 4.6) around a provider, and reports the requests that it received at `/seen`."""

    def __init__(self, app: Wsgi) -> None:
        self._app = app
        self._challenges: dict[str, str] = {}
        self._seen: list[dict[str, str]] = []
        self._levels: dict[str, list[str]] = {}

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/seen":
            start_response("200 OK", [("Content-Type", "application/json")])
            return [json.dumps(self._seen).encode()]
        # An issuer of this name serves another issuer's document.
        environ["PATH_INFO"] = environ["PATH_INFO"].removeprefix("/another")
        if environ["PATH_INFO"].startswith("/confiabilidades/"):
            return self._levels_of(environ, start_response)
        environ["QUERY_STRING"] = environ["QUERY_STRING"].replace("public_profile", "profile")  # Meta's word
        query = dict(parse_qsl(environ["QUERY_STRING"]))
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        form = dict(parse_qsl(body.decode("utf-8", "replace")))
        told = {"authorization": environ["HTTP_AUTHORIZATION"]} if "HTTP_AUTHORIZATION" in environ else {}
        self._seen.append({"path": environ["PATH_INFO"], **query, **form, **told})

        def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:  # noqa: ANN401 - WSGI's types
            place = dict(headers).get("Location", "")
            for code in parse_qs(urlsplit(place).query).get("code", []):
                assert query.get("code_challenge_method") == "S256"
                self._challenges[code] = query["code_challenge"]
            return start_response(status, headers, *rest)

        if environ["PATH_INFO"] == "/oauth2/token" and not self._proves(form):
            start_response("400 Bad Request", [("Content-Type", "application/json")])
            return [b'{"error": "invalid_grant"}']
        return self._app(environ, start)

    def _levels_of(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer, as gov.br's API does, which levels an account has reached; a PUT sets them."""
        cpf = environ["PATH_INFO"].split("/")[4]
        if environ["REQUEST_METHOD"] == "PUT":
            self._levels[cpf] = json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
        elif not environ.get("HTTP_AUTHORIZATION", "").startswith("Bearer ") or cpf not in self._levels:
            start_response("401 Unauthorized", [("Content-Type", "application/json")])
            return [b"{}"]
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps([{"id": level} for level in self._levels[cpf]]).encode()]

    def _proves(self, form: dict[str, str]) -> bool:
        made = base64.urlsafe_b64encode(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
        return self._challenges.get(form.get("code", "")) == made.rstrip(b"=").decode()


@dataclass
class Provider:
    """A running provider, and the person in front of it."""

    url: str
    process: subprocess.Popen[bytes]

    def knows(self, subject: str, **claims: object) -> None:
        """Create an account."""
        answer = httpx.put(f"{self.url}/users/{subject}", json=claims)
        assert answer.status_code == 204, answer.text

    def reached(self, cpf: str, *levels: str) -> None:
        """Set the levels that gov.br's API reports for an account."""
        answer = httpx.put(f"{self.url}/confiabilidades/v3/contas/{cpf}/niveis", json=list(levels))
        assert answer.status_code == 200, answer.text

    def agree(self, address: str, subject: str, **changes: str) -> str:
        """Sign in there and return where the browser is sent back to."""
        parts = urlsplit(address)
        query = urlencode(dict(parse_qsl(parts.query)) | changes)
        answer = httpx.post(urlunsplit(parts._replace(query=query)), data={"sub": subject})
        assert answer.status_code == 302, answer.text
        return str(answer.headers["location"])

    def refuse(self, address: str) -> str:
        """Decline there; return where the browser is sent back to."""
        return str(httpx.post(address, data={"action": "deny"}).headers["location"])

    def seen(self) -> list[dict[str, str]]:
        """Return the requests that it received."""
        requests: list[dict[str, str]] = httpx.get(f"{self.url}/seen").json()
        return requests


@contextmanager
def running_provider() -> Iterator[Provider]:
    command = [sys.executable, "-W", "ignore", "-m", "tests.support.oidc_provider"]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            assert process.stdout is not None
            yield Provider(f"http://127.0.0.1:{int(process.stdout.readline())}", process)
        finally:
            process.terminate()


def main() -> None:
    """Serve until it is stopped."""
    import oidc_provider_mock  # noqa: PLC0415 - in the process of the provider only
    from werkzeug.serving import make_server  # noqa: PLC0415 - in the process of the provider only

    server = make_server("127.0.0.1", 0, Strict(oidc_provider_mock.app()), threaded=True)
    sys.stdout.write(f"{server.server_port}\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main()
