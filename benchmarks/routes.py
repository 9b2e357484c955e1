"""`make bench-routes`: ordinary routes of the product beside a floor and a toy, in one run, one process each.

The floor is FastAPI and asyncpg, one statement a request, no sign-in, no ledger; the toy an ORM session a request
(`floor.py`). Each round measures floor, toy and product in turns, on the same PostgreSQL; figures are medians.
"""

import argparse
import itertools
import json
import random
import secrets
import statistics
import tempfile
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import psutil  # type: ignore[import-untyped] # it has no types
from rich.console import Console
from rich.table import Table
from validate_docbr import CPF

from benchmarks.floor import CARDS
from benchmarks.load import Result, closed_loop
from benchmarks.stage import floor, product, stage

CONNECTIONS, WARM_SECONDS, PEOPLE = 32, 1.0, 64
PASSWORD = "Girassol7amarelo"  # noqa: S105 - of nobody
Requests = Iterator[bytes]


@dataclass(frozen=True)
class Person:
    """Somebody signed in, with a card."""

    token: str
    card: str


@dataclass(frozen=True)
class Case:
    """What is measured, and which case of the floor it is compared with."""

    name: str
    requests: Requests = field(compare=False)
    floor: str = ""
    where: str = "product"


def _ask(
    url: str, body: Mapping[str, object] | None = None, *, form: bool = False, token: str = ""
) -> dict[str, object]:
    data = None
    if body is not None:
        data = urllib.parse.urlencode(body).encode() if form else json.dumps(body).encode()
    headers = {"Content-Type": "application/x-www-form-urlencoded" if form else "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=30) as answer:  # noqa: S310 - loopback
        answered: dict[str, object] = json.load(answer)
        return answered


def _register(url: str) -> Person:
    cpf = CPF().generate()
    person = {
        "full_name": "Pessoa da Medida",
        "email": f"medida.{secrets.token_hex(6)}@exemplo.com.br",
        "cpf": cpf,
        "birth_date": "1990-01-01",
        "phone": "11987654321",
        "password": PASSWORD,
    }
    _ask(f"{url}/users/register", person)
    token = str(_ask(f"{url}/auth/login", {"username": cpf, "password": PASSWORD}, form=True)["access_token"])
    cards = _ask(f"{url}/transport-cards", token=token)["items"]
    assert isinstance(cards, list), "a page"
    number = str(cards[0]["card_number"])
    for _ in range(3):
        _ask(f"{url}/transport-cards/{number}/recharge", {"amount": 50_000}, token=token)
    return Person(token, number)


def _write(url: str, method: str, path: str, *, body: bytes = b"", head: str = "") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", f"Host: {urlsplit(url).netloc}"]
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return ("\r\n".join(lines) + "\r\n" + head + "\r\n").encode() + body


def _reads(url: str, path: str, people: Sequence[Person]) -> Requests:
    one = [_write(url, "GET", path.format(card=p.card), head=f"Authorization: Bearer {p.token}\r\n") for p in people]
    return itertools.cycle(one)


def _moves(url: str, path: str, people: Sequence[Person], amount: int) -> Requests:
    """Write moves of money, each under a key of its own."""
    place, body = b"0" * 16, b'{"amount":%d}' % amount
    run = secrets.token_hex(6)
    parts = [
        _write(
            url, "POST", path.format(card=p.card), body=body,
            head=f"Authorization: Bearer {p.token}\r\nIdempotency-Key: {run}-{place.decode()}\r\n",
        ).split(place, 1)
        for p in people
    ]  # fmt: skip
    # A card's number has sixteen digits too: none of them are all zeros.
    return (b"%s%016d%s" % (before, n, after) for n, (before, after) in enumerate(itertools.cycle(parts)))


def _floor_cases(url: str) -> list[Case]:
    rng = random.Random(7)
    numbers = [f"{rng.randrange(CARDS):016d}" for _ in range(5_000)]

    def cycle(method: str, path: str, body: bytes = b"") -> Requests:
        return itertools.cycle([_write(url, method, path.format(number=n), body=body) for n in numbers])

    one = b'{"amount":1}'
    return [
        Case("floor: health", cycle("GET", "/health"), where="floor"),
        Case("floor: balance", cycle("GET", "/cards/{number}/balance"), where="floor"),
        Case("floor: debit", cycle("POST", "/cards/{number}/debit", one), where="floor"),
        Case("toy: balance", cycle("GET", "/toy/{number}/balance"), "floor: balance", where="floor"),
        Case("toy: debit", cycle("POST", "/toy/{number}/debit", one), "floor: debit", where="floor"),
    ]


def _product_cases(url: str, people: Sequence[Person]) -> list[Case]:
    read, move = "floor: balance", "floor: debit"
    first = people[:1]
    return [
        Case("GET /health", itertools.cycle([_write(url, "GET", "/health")]), "floor: health"),
        Case("GET …/balance", _reads(url, "/transport-cards/{card}/balance", people), read),
        Case("GET /transport-cards", _reads(url, "/transport-cards", people), read),
        Case("GET …/history", _reads(url, "/transport-cards/{card}/history", people), read),
        Case("GET /users/me", _reads(url, "/users/me", people), read),
        Case("GET /documents", _reads(url, "/documents", people), read),
        Case("POST …/debit, one card", _moves(url, "/transport-cards/{card}/debit", first, 1), move),
        Case("POST …/debit, many cards", _moves(url, "/transport-cards/{card}/debit", people, 1), move),
        Case("POST …/recharge, many cards", _moves(url, "/transport-cards/{card}/recharge", people, 1), move),
    ]


def _measure(url: str, case: Case, seconds: float) -> Result:
    closed_loop(url, CONNECTIONS, WARM_SECONDS, case.requests)
    result = closed_loop(url, CONNECTIONS, seconds, case.requests)
    failed = [body for body in result.answers if b'"type":"urn:' in body or b'"detail":' in body]
    if failed or result.lost:
        raise SystemExit(f"{case.name}: {result.lost} lost, {len(failed)} kinds of failures, such as {failed[:1]}")
    return result


def _report(seen: dict[str, tuple[Case, list[Result]]], out: Console) -> None:
    table = Table(title=f"One process, {CONNECTIONS} connections (medians)")
    for title in ("", "a second", "÷ floor", "p50 ms", "p99 ms"):
        table.add_column(title, justify="left" if not title else "right")

    def rates(name: str) -> list[float]:
        return [result.rate for result in seen[name][1]]

    for name, (case, results) in seen.items():
        pairs = zip(rates(name), rates(case.floor or name), strict=True)
        ratio = statistics.median(rate / base for rate, base in pairs)
        times = [statistics.median(result.quantile(share) * 1000 for result in results) for share in (0.5, 0.99)]
        table.add_row(name, f"{statistics.median(rates(name)):,.0f}", f"{ratio:.2f}", *(f"{t:.1f}" for t in times))
    out.print(table)


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--only", default="", help="measure the cases whose name holds this, and their floor")
    options = parser.parse_args()
    out, before = Console(), psutil.cpu_times()
    seen: dict[str, tuple[Case, list[Result]]] = {}
    with tempfile.TemporaryDirectory(prefix="carteira-bench-") as folder:
        home = Path(folder)
        modules = {"carteira_modules": "benefits,documents,transit,resellers,assistant"}
        with (
            stage(home, 1_000, wal_segments=32) as endpoints,
            floor(home, endpoints) as low,
            product(home, endpoints, strategy="queue", workers=1, log_level="info", **modules) as url,
        ):
            people = [_register(url) for _ in range(PEOPLE)]
            cases = [*_floor_cases(low), *_product_cases(url, people)]
            if options.only:
                wanted = [case for case in cases if options.only in case.name]
                floors = {case.floor for case in wanted}
                cases = [case for case in cases if case in wanted or case.name in floors]
            for _, case in itertools.product(range(options.rounds), cases):
                result = _measure(low if case.where == "floor" else url, case, options.seconds)
                seen.setdefault(case.name, (case, []))[1].append(result)
    _report(seen, out)
    after = psutil.cpu_times()
    stolen = (after.steal - before.steal) / (sum(after) - sum(before))
    out.print(f"taken from this machine by its host meanwhile: {stolen:.1%} of the processors' time")


if __name__ == "__main__":
    main()
