"""The stand-in payment provider on real ports, with mutual TLS, in a thread of its own; tests steer it over HTTP."""

import asyncio
import socket
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from carteira.kit.security.sandbox_authority import SandboxCertificates, make_certificates
from carteira.payments import sandbox
from carteira.payments.provider import ProviderConfig
from carteira.payments.sandbox import PixSandbox
from carteira.payments.sandbox_books import Books


@dataclass(frozen=True)
class StandIn:
    """The addresses of a stand-in; tests steer it at its pages' address."""

    url: str
    pages: str
    certificates: SandboxCertificates
    books: Path

    def settings(self, **more: object) -> dict[str, object]:
        """Return the settings of a product that uses it."""
        ours = self.certificates.ours
        return {
            "pix_url": f"{self.url}/v2",
            "pix_token_url": f"{self.url}/oauth/token",
            "pix_client_id": sandbox.CLIENT_ID,
            "pix_client_secret": sandbox.CLIENT_SECRET,
            "pix_key": sandbox.KEY,
            "pix_certificate_file": ours.certificate,
            "pix_certificate_key_file": ours.key,
            "pix_authority_file": self.certificates.authority,
        } | more

    def config(self, **more: Any) -> ProviderConfig:  # noqa: ANN401 - any field's type
        """Return the configuration of a client that calls it."""
        given: dict[str, Any] = {
            "url": f"{self.url}/v2",
            "token_url": f"{self.url}/oauth/token",
            "client_id": sandbox.CLIENT_ID,
            "client_secret": sandbox.CLIENT_SECRET,
            "key": sandbox.KEY,
            "certificate": self.certificates.ours.certificate,
            "certificate_key": self.certificates.ours.key,
            "authority": self.certificates.authority,
            "attempt_seconds": 5.0,
            "budget_seconds": 10.0,
            "backoff_seconds": 0.001,
        }
        return ProviderConfig(**(given | more))

    def behave(self, **how: object) -> None:
        """Set its behaviour until the next call; without arguments it behaves well."""
        self._request("PUT", "/sandbox/behaviour", json=how)

    def pay(self, txid: str | None = None, **how: object) -> str:
        """Make a payment arrive; return its end-to-end id."""
        given = {"txid": txid, **how} if txid else how
        e2eid: str = self._request("POST", "/sandbox/payments", json=given).json()["endToEndId"]
        return e2eid

    def return_by_bank(self, e2eid: str, amount: int, **how: object) -> None:
        """Make the payer's bank return a part of a payment by itself."""
        self._request("POST", "/sandbox/returns", json={"e2eid": e2eid, "amount": amount, **how})

    def move(self, e2eid: str, days: int) -> None:
        """Move a payment to another day."""
        with closing(sqlite3.connect(self.books)) as books, books:
            (paid_at,) = books.execute("SELECT paid_at FROM payments WHERE e2eid = ?", (e2eid,)).fetchone()
            moved = datetime.fromisoformat(paid_at) + timedelta(days=days)
            written = moved.isoformat(timespec="milliseconds").replace("+00:00", "Z")
            books.execute("UPDATE payments SET paid_at = ? WHERE e2eid = ?", (written, e2eid))

    def account(self) -> dict[str, int]:
        """Return what arrived, what went back, and the balance."""
        told: dict[str, int] = self._request("GET", "/sandbox/account").json()
        return told

    def _request(self, method: str, path: str, **content: Any) -> httpx.Response:  # noqa: ANN401 - httpx's own arguments
        answer = httpx.request(method, self.pages + path, trust_env=False, **content)
        assert answer.is_success, answer.text
        return answer


@contextmanager
def standing_in(folder: Path, certificates: SandboxCertificates | None = None) -> Iterator[StandIn]:
    """Run a stand-in that keeps its books in a folder, until the end of the block."""
    made = certificates or make_certificates(folder / "certificates")
    with socket.create_server(("127.0.0.1", 0)) as api, socket.create_server(("127.0.0.1", 0)) as pages:
        ports = [listener.getsockname()[1] for listener in (api, pages)]
        there = StandIn(f"https://127.0.0.1:{ports[0]}", f"http://127.0.0.1:{ports[1]}", made, folder / "books.sqlite")
        started, loop, stop = threading.Event(), asyncio.new_event_loop(), asyncio.Event()

        async def main() -> None:
            standing = PixSandbox(Books(there.books), made, there.pages)
            started.set()
            await sandbox.serve(standing, made, api, pages, stop)
            await standing.close()

        thread = threading.Thread(target=lambda: loop.run_until_complete(main()), daemon=True)
        thread.start()
        started.wait(10)
        try:
            yield there
        finally:
            loop.call_soon_threadsafe(stop.set)
            thread.join(10)
            loop.close()
