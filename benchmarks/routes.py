"""`make bench-routes`: ordinary routes of the product beside a floor and a toy, in one run, one process each.

The floor is FastAPI and asyncpg, one statement a request, no sign-in, no ledger; the toy an ORM session a request
(`floor.py`). A second process of the product decides purchases one by one (`optimistic`). Each round alternates floor,
toy and product on the same PostgreSQL; figures are medians. After the
rounds, requests come at a fixed rate, half of what was reached: reads, debits, and reads while people sign in.
"""

import argparse
import itertools
import json
import math
import multiprocessing
import random
import secrets
import statistics
import tempfile
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import psutil  # type: ignore[import-untyped] # it has no types
from rich.console import Console
from rich.table import Table
from validate_docbr import CPF

from benchmarks.draw import draw
from benchmarks.floor import CARDS, LINES  # a page has as many by default
from benchmarks.load import Result, closed_loop, open_loop
from benchmarks.stage import floor, product, purchases, stage
from carteira.cli import tokens
from carteira.settings import Settings
from carteira.transit.schemas import MAX_FARE

CONNECTIONS, WARM_SECONDS, PEOPLE, SIGN_INS_AT_ONCE = 32, 1.0, 64, 4
OWING, RIDES = 16, 10
"""People who owe rides, and how many."""
BALANCE, DEBIT, SIGN_IN = "GET …/balance", "POST …/debit, many cards", "POST /auth/login"
PASSWORD = "Girassol7amarelo"  # noqa: S105 - a password of nobody
Requests = Iterator[bytes]


@dataclass(frozen=True)
class Person:
    """A signed-in person with a card."""

    token: str
    card: str
    cpf: str


@dataclass(frozen=True)
class Case:
    """A route under measurement, and the case of the floor that it is compared with."""

    name: str
    requests: Requests = field(compare=False)
    floor: str = ""
    where: str = "product"
    connections: int = CONNECTIONS


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
    for _ in range(LINES):
        _ask(f"{url}/transport-cards/{number}/recharge", {"amount": 10_000}, token=token)
    return Person(token, number, cpf)


_JSON = "application/json"


def _write(url: str, method: str, path: str, *, body: bytes = b"", head: str = "", kind: str = _JSON) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", f"Host: {urlsplit(url).netloc}"]
    if body:
        lines += [f"Content-Type: {kind}", f"Content-Length: {len(body)}"]
    return ("\r\n".join(lines) + "\r\n" + head + "\r\n").encode() + body


def _reads(url: str, path: str, people: Sequence[Person]) -> Requests:
    one = [_write(url, "GET", path.format(card=p.card), head=f"Authorization: Bearer {p.token}\r\n") for p in people]
    return itertools.cycle(one)


def _moves(url: str, path: str, people: Sequence[Person], amount: int, *, more: bytes = b"") -> Requests:
    """Yield requests that move money, each with its own key."""
    place, body = b"0" * 16, b'{%s"amount":%d}' % (more, amount)
    run = secrets.token_hex(6)
    parts = [
        _write(
            url, "POST", path.format(card=p.card), body=body,
            head=f"Authorization: Bearer {p.token}\r\nIdempotency-Key: {run}-{place.decode()}\r\n",
        ).split(place, 1)
        for p in people
    ]  # fmt: skip
    # A card's number has sixteen digits, too: none of them consists of zeros.
    return (b"%s%016d%s" % (before, n, after) for n, (before, after) in enumerate(itertools.cycle(parts)))


def _cash(url: str, people: Sequence[Person], operator: str) -> Requests:
    """Yield recharges at a counter, each with its own key."""
    counter = [Person(operator, person.card, person.cpf) for person in people]
    return _moves(url, "/transit/cards/{card}/recharge", counter, 1)


def _credits(url: str, operator: str) -> Requests:
    """Yield top-ups of accounts of the stage, each with its own key."""
    accounts = [Person(operator, f"b{number}", "") for number in range(1, PEOPLE + 1)]
    return _moves(url, "/benefits/accounts/{card}/credits", accounts, 1, more=b'"category":"FOOD",')


def _rides(url: str, people: Sequence[Person], operator: str) -> Requests:
    """Yield uploads of one ride each."""
    run, place = secrets.token_hex(6), b"0" * 12
    at = datetime.now(UTC).isoformat()
    parts = []
    for person in people:
        tap = {"id": f"{run}-{place.decode()}", "card_number": person.card, "amount": 1, "tapped_at": at}
        body = json.dumps({"taps": [tap]}).encode()
        head = f"Authorization: Bearer {operator}\r\n"
        parts.append(_write(url, "POST", "/transit/taps", body=body, head=head).rsplit(place, 1))
    return (b"%s%012d%s" % (before, n, after) for n, (before, after) in enumerate(itertools.cycle(parts)))


def _owing(url: str, people: Sequence[Person], operator: str) -> Sequence[Person]:
    """Have people owe rides that recharges of a centavo never pay, and return them."""
    at = datetime.now(UTC).isoformat()
    for person in people:
        balance = _ask(f"{url}/transport-cards/{person.card}/balance", token=person.token)["balance"]
        _ask(f"{url}/transport-cards/{person.card}/debit", {"amount": balance}, token=person.token)
        ride = {"card_number": person.card, "amount": MAX_FARE, "tapped_at": at}
        taps = [ride | {"id": secrets.token_hex(8)} for _ in range(RIDES)]
        _ask(f"{url}/transit/taps", {"taps": taps}, token=operator)
    return people


def _said(url: str, message: str, people: Sequence[Person]) -> Requests:
    """Yield turns of conversations, one person after the other."""
    body = json.dumps({"message": message}).encode()
    heads = [f"Authorization: Bearer {person.token}\r\n" for person in people]
    return itertools.cycle([_write(url, "POST", "/chatbot/chat", body=body, head=head) for head in heads])


def _sign_ins(url: str, people: Sequence[Person]) -> Requests:
    forms = [urllib.parse.urlencode({"username": p.cpf, "password": PASSWORD}).encode() for p in people]
    kind = "application/x-www-form-urlencoded"
    return itertools.cycle([_write(url, "POST", "/auth/login", body=form, kind=kind) for form in forms])


def _floor_cases(url: str) -> list[Case]:
    rng = random.Random(7)
    numbers = [f"{rng.randrange(CARDS):016d}" for _ in range(5_000)]

    def cycle(method: str, path: str, body: bytes = b"") -> Requests:
        return itertools.cycle([_write(url, method, path.format(number=n), body=body) for n in numbers])

    one = b'{"amount":1}'
    return [
        Case("floor: health", cycle("GET", "/health"), where="floor"),
        Case("floor: balance", cycle("GET", "/cards/{number}/balance"), where="floor"),
        Case("floor: history", cycle("GET", "/cards/{number}/history"), where="floor"),
        Case("floor: debit", cycle("POST", "/cards/{number}/debit", one), where="floor"),
        Case("toy: balance", cycle("GET", "/toy/{number}/balance"), "floor: balance", where="floor"),
        Case("toy: debit", cycle("POST", "/toy/{number}/debit", one), "floor: debit", where="floor"),
    ]


def _product_cases(url: str, people: Sequence[Person]) -> list[Case]:
    read, move = "floor: balance", "floor: debit"
    first = people[:1]
    return [
        Case("GET /health", itertools.cycle([_write(url, "GET", "/health")]), "floor: health"),
        Case(BALANCE, _reads(url, "/transport-cards/{card}/balance", people), read),
        Case("GET /transport-cards", _reads(url, "/transport-cards", people), read),
        Case("GET …/history", _reads(url, "/transport-cards/{card}/history", people), "floor: history"),
        Case("GET /users/me", _reads(url, "/users/me", people), read),
        Case("GET /documents", _reads(url, "/documents", people), read),
        Case("POST …/debit, one card", _moves(url, "/transport-cards/{card}/debit", first, 1), move),
        Case(DEBIT, _moves(url, "/transport-cards/{card}/debit", people, 1), move),
        Case("POST …/recharge, many cards", _moves(url, "/transport-cards/{card}/recharge", people, 1), move),
        Case("the assistant: menu", _said(url, "voltar", people)),
        Case("the assistant: a question", _said(url, "como eu cancelo o bilhete", people)),
        Case(SIGN_IN, _sign_ins(url, people), connections=SIGN_INS_AT_ONCE),
    ]


def _ordinary_cases(url: str, people: Sequence[Person], operator: str) -> list[Case]:
    """Return the cases of the ordinary gear: one read and one write for each request."""
    move = "floor: debit"
    return [
        Case("POST …/recharge for cash, many cards", _cash(url, people, operator), move),
        Case("POST …/credits, many accounts", _credits(url, operator), move),
        Case("POST …/taps, a ride each", _rides(url, people, operator), move),
    ]


def _measure(url: str, case: Case, seconds: float) -> Result:
    closed_loop(url, case.connections, WARM_SECONDS, case.requests)
    return _sound(case.name, closed_loop(url, case.connections, seconds, case.requests))


_FAILED = b'"type":"urn:', b'"detail":', b'"code":"07"', b'"code":"51"'


def _sound(name: str, result: Result) -> Result:
    failed = [body for body in result.answers if any(part in body for part in _FAILED)]
    if failed or result.lost:
        raise SystemExit(f"{name}: {result.lost} lost, {len(failed)} kinds of failures, such as {failed[:1]}")
    return result


def _sign_in_beside(url: str, people: Sequence[Person], rate: float, seconds: float) -> None:
    _sound(SIGN_IN, open_loop(url, rate, seconds, _sign_ins(url, people), connections=16, used=False))


def _at_half(
    places: Mapping[str, str],
    people: Sequence[Person],
    cases: Mapping[str, Case],
    reached: Mapping[str, float],
    seconds: float,
) -> dict[str, Result]:
    """Send reads and debits at half of the rate reached; then reads again, while people sign in at half of theirs.

    The floor goes first, at the product's rate: what its slowest answers take is the stage's, not the product's.
    """

    def at_half(name: str, rate: float) -> Result:
        case = cases[name]
        return _sound(name, open_loop(places[case.where], rate / 2, seconds, case.requests, connections=256))

    seen = {}
    for name in (BALANCE, DEBIT):
        if name in reached:
            low = cases[name].floor
            seen[f"{low}, at half of the product's"] = at_half(low, reached[name])
            seen[f"{name}, at half of it"] = at_half(name, reached[name])
    if BALANCE in reached and SIGN_IN in reached:
        rest = (places["product"], people, reached[SIGN_IN] / 2, seconds + 1)
        beside = multiprocessing.get_context("spawn").Process(target=_sign_in_beside, args=rest)
        beside.start()
        seen[f"{BALANCE}, at half of it, beside half of the sign-ins"] = at_half(BALANCE, reached[BALANCE])
        beside.join()
    return seen


Row = tuple[str, float, float, float, float, float]
"""Name, rate a second, ÷ floor (not a number if there is none), p50, p99 and nothing, as `draw` takes them."""


def _rows(seen: dict[str, tuple[Case, list[Result]]], at_half: Mapping[str, Result]) -> list[Row]:
    nan = float("nan")

    def rates(name: str) -> list[float]:
        return [result.rate for result in seen[name][1]]

    def row(name: str, results: Sequence[Result], ratio: float) -> Row:
        p50, p99 = (statistics.median(result.quantile(share) * 1000 for result in results) for share in (0.5, 0.99))
        return name, statistics.median(result.rate for result in results), ratio, p50, p99, nan

    rows = []
    for name, (case, results) in seen.items():
        base = case.floor or (name if case.where == "floor" else "")
        ratios = [rate / low for rate, low in zip(rates(name), rates(base), strict=True)] if base else [nan]
        rows.append(row(name, results, statistics.median(ratios)))
    return rows + [row(name, [result], nan) for name, result in at_half.items()]


def _report(rows: Sequence[Row], out: Console) -> None:
    table = Table(title=f"One process, {CONNECTIONS} connections (medians)")
    for title in ("", "a second", "÷ floor", "p50 ms", "p99 ms"):
        table.add_column(title, justify="left" if not title else "right")

    for name, rate, ratio, p50, p99, _ in rows:
        times = "" if math.isnan(ratio) else f"{ratio:.2f}"
        table.add_row(name, f"{rate:,.0f}", times, f"{p50:.1f}", f"{p99:.1f}")
    out.print(table)


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--only", default="", help="measure the cases whose name holds this, and their floor")
    parser.add_argument("--svg", type=Path, help="draw the table there")
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
            product(home, endpoints, strategy="optimistic", workers=1, log_level="info") as ordinary,
        ):
            settings = Settings(carteira_home=home)
            operator = tokens.administrator(settings, ["*"], timedelta(hours=2))
            people = [_register(url) for _ in range(PEOPLE + OWING)]
            cases = [*_floor_cases(low), *_product_cases(url, people[:PEOPLE])]
            cases += _ordinary_cases(url, people[:PEOPLE], operator)
            owing = _moves(url, "/transport-cards/{card}/recharge", _owing(url, people[PEOPLE:], operator), 1)
            cases.append(Case("POST …/recharge, rides owed", owing, "floor: debit"))
            bought = purchases(ordinary, tokens.processor(settings, timedelta(hours=2)), 1_000)
            cases.append(Case("a purchase, optimistic", bought, "floor: debit", where="ordinary"))
            places = {"floor": low, "product": url, "ordinary": ordinary}
            if options.only:
                wanted = [case for case in cases if options.only in case.name]
                floors = {case.floor for case in wanted}
                cases = [case for case in cases if case in wanted or case.name in floors]
            for _, case in itertools.product(range(options.rounds), cases):
                result = _measure(places[case.where], case, options.seconds)
                seen.setdefault(case.name, (case, []))[1].append(result)
            reached = {name: statistics.median(one.rate for one in results) for name, (_, results) in seen.items()}
            halves = _at_half(places, people[:PEOPLE], {case.name: case for case in cases}, reached, options.seconds)
    rows = _rows(seen, halves)
    _report(rows, out)
    if options.svg:
        options.svg.write_text(draw(rows, title="Requests a second (median; ÷ floor; p99)", plain=("floor", "toy")))
    after = psutil.cpu_times()
    stolen = (after.steal - before.steal) / (sum(after) - sum(before))
    out.print(f"taken from this machine by its host meanwhile: {stolen:.1%} of the processors' time")


if __name__ == "__main__":
    main()
