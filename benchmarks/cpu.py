"""`make bench-cpu ARGS="--against CHECKOUT"`: processor time of an authorization, here and in another checkout.

`ARGS="--traced 0.01"` compares this checkout with itself, one that is traced at that share: what traces cost.
`ARGS="--viewed 200"` compares it with itself, one that so many live views of the console watch, on one process each.

Each checkout runs its own servers, schema and product, both at once; the same open loop, half of what the slower of
them can take, is sent to one and the other in turns, and what the processes used meanwhile is read from the system.
Processor time is what other users of the machine disturb least. Figures are medians over the rounds with their spread.
"""

import argparse
import asyncio
import json
import re
import selectors
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import psutil  # type: ignore[import-untyped] # it has no types
from rich.console import Console
from rich.table import Table

from benchmarks.load import closed_loop, loopback, open_loop
from benchmarks.stage import APPROVED, product, purchases, stage
from carteira import demo
from carteira.cli import tokens
from carteira.settings import Settings

HERE = Path(__file__).parents[1]
PEAK_CONNECTIONS, PEAK_SECONDS, WARM_SECONDS = 256, 3.0, 8.0
CONNECTIONS = 64
"""Connections of the open loop: accepting one costs as much as an authorization."""
PARTS = ("server", "PostgreSQL", "together")
Figures = tuple[float, float, float]
"""The median and the spread of each part."""


@dataclass
class Stand:
    """A running checkout."""

    name: str
    requests: Iterator[bytes]
    url: str
    server: psutil.Process
    postgres: psutil.Process

    def used(self) -> tuple[float, float]:
        """Return the seconds of processor time that the server's and PostgreSQL's processes have used so far."""
        return _used(self.server), _used(self.postgres)


def _used(process: psutil.Process) -> float:
    """Return the time of a process, of those that it started, and of those of them that have ended."""
    own = process.cpu_times()
    family = [child.cpu_times() for child in process.children(recursive=True)]
    return float(own.children_user + own.children_system + sum(times.user + times.system for times in (own, *family)))


@contextmanager
def _collector() -> Iterator[str]:
    """Receive traces over HTTP and drop them, in this process, whose time is not counted."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_args: object) -> None:
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@contextmanager
def _viewed(url: str, views: int) -> Iterator[None]:
    """Keep so many live views of the console open and read their events, in this process."""
    with httpx.Client(base_url=url) as browser:
        page = browser.get("/app/entrar").raise_for_status().text
        token = re.findall(r'name="csrf" value="([^"]+)"', page)[0]
        typed = {
            "csrf": token,
            "username": next(one.person.email for one in demo.PEOPLE if one.role == "administrador"),
            "password": demo.PASSWORD,
        }
        browser.post("/app/entrar", data=typed, headers={"Origin": url})
        cookies = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
    asked = f"GET /console/autorizacoes/ao-vivo HTTP/1.1\r\nHost: {url.partition('//')[2]}\r\nCookie: {cookies}\r\n\r\n"
    taking, ended = selectors.DefaultSelector(), threading.Event()
    for _ in range(views):
        view = socket.create_connection(loopback(url))
        view.sendall(asked.encode())
        if not view.recv(65_536).startswith(b"HTTP/1.1 200"):
            raise RuntimeError("a live view was not opened")
        taking.register(view, selectors.EVENT_READ)

    def take() -> None:
        while not ended.is_set():
            for key, _ in taking.select(0.5):
                if not (isinstance(key.fileobj, socket.socket) and key.fileobj.recv(65_536)):
                    taking.unregister(key.fileobj)

    taker = threading.Thread(target=take)
    taker.start()
    try:
        yield
        if len(taking.get_map()) < views:
            raise RuntimeError(f"only {len(taking.get_map())} of {views} live views were open to the end")
    finally:
        ended.set()
        taker.join()
        for key in list(taking.get_map().values()):
            if isinstance(key.fileobj, socket.socket):
                key.fileobj.close()
        taking.close()


@contextmanager
def _standing(  # noqa: PLR0917 - one argument per setting of the product
    name: str, checkout: Path, home: Path, accounts: int, more: Mapping[str, str] | None = None, workers: int = 2
) -> Iterator[Stand]:
    """Run a checkout's servers and product by its own code."""
    path = f"{checkout / 'src'}:{checkout}"
    command = [sys.executable, str(Path(__file__)), "--stand", str(home), "--accounts", str(accounts)]
    command += ["--workers", str(workers)] if workers == 1 else []
    env = {"PYTHONPATH": path, "PATH": "/usr/bin:/bin"} | dict(more or {})
    child = subprocess.Popen(command, env=env, cwd=checkout, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdin is not None, "piped"
    assert child.stdout is not None, "piped"
    try:
        facts = json.loads(child.stdout.readline())
        requests = purchases(facts["url"], facts["token"], accounts)
        yield Stand(name, requests, facts["url"], psutil.Process(facts["server"]), psutil.Process(facts["postgres"]))
    finally:
        child.stdin.close()
        child.wait(60)


def _stand(home: Path, accounts: int, workers: int) -> None:
    """Stage and serve until standard input ends; print the address on standard output."""
    with ExitStack() as stack:
        endpoints = stack.enter_context(stage(home, accounts))
        if workers == 1:
            asyncio.run(demo.seed(endpoints.owner_url, ("benefits",)))  # an operator who watches
        url = stack.enter_context(product(home, endpoints, strategy="queue", workers=workers))
        server = next(child for child in psutil.Process().children() if "serve" in child.cmdline())
        (pid_file,) = home.rglob("postmaster.pid")
        facts = {
            "url": url,
            "token": tokens.processor(Settings(carteira_home=home), timedelta(hours=1)),
            "server": server.pid,
            "postgres": int(pid_file.read_text().split()[0]),
        }
        sys.stdout.write(json.dumps(facts) + "\n")
        sys.stdout.flush()
        sys.stdin.read()


def _round(stands: list[Stand], rate: float, slices: int) -> dict[str, Figures] | None:
    """Return microseconds an authorization (the server's, PostgreSQL's, both) by stand; None if some were rejected.

    The stands alternate in slices of a second, each first in turn, so that other load on the machine affects both.
    """
    used = {stand.name: [0.0, 0.0] for stand in stands}
    approved = dict.fromkeys(used, 0)
    for number in range(slices):
        for stand in stands if number % 2 else stands[::-1]:
            before = stand.used()
            result = open_loop(stand.url, rate, 1.0, stand.requests, connections=CONNECTIONS, used=False)
            for part, (now, then) in enumerate(zip(stand.used(), before, strict=True)):
                used[stand.name][part] += now - then
            if result.answers[APPROVED] != len(result.latencies) or result.lost:
                return None
            approved[stand.name] += len(result.latencies)
    figures = {}
    for name, count in approved.items():
        server, postgres = (seconds / count * 1e6 for seconds in used[name])
        figures[name] = (server, postgres, server + postgres)
    return figures


def _report(rounds: list[dict[str, Figures]], rate: float, out: Console) -> None:
    """Print each checkout's medians and the median ratio of the rounds' pairs, with the spreads."""
    table = Table(title=f"Processor time an authorization at {rate:,.0f}/s, µs: median (least to most)")
    for title in ("", *PARTS):
        table.add_column(title, justify="left" if not title else "right")

    def spread(values: list[float], form: str) -> str:
        return f"{statistics.median(values):{form}} ({min(values):{form}} to {max(values):{form}})"

    for name in ("against", "here"):
        parts = zip(*(measured[name] for measured in rounds), strict=True)
        table.add_row(name, *(spread(list(part), ".1f") for part in parts))
    pairs = [zip(measured["here"], measured["against"], strict=True) for measured in rounds]
    ratios = zip(*([here / against for here, against in pair] for pair in pairs), strict=True)
    table.add_row("here / against", *(spread(list(ratio), ".3f") for ratio in ratios))
    out.print(table)


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", type=Path, help="another checkout (git worktree add /tmp/before TAG)")
    parser.add_argument("--traced", type=float, metavar="SHARE", help="of this checkout: with traces against without")
    parser.add_argument("--viewed", type=int, metavar="VIEWS", help="of this checkout: with live views against without")
    parser.add_argument("--workers", type=int, default=2, help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=int, default=6, help="of load on each checkout in a round")
    parser.add_argument("--accounts", type=int, default=20_000)
    parser.add_argument("--stand", metavar="HOME", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.stand:
        _stand(options.stand, options.accounts, options.workers)
        return
    if [options.against, options.traced, options.viewed].count(None) != 2:  # noqa: PLR2004 - one of three shares
        parser.error("--against, --traced or --viewed is needed")
    out = Console()
    rounds: list[dict[str, Figures]] = []
    with ExitStack() as stack:
        stands = []
        traces = {}
        if options.traced is not None:
            traces = {
                "OTEL_EXPORTER_OTLP_ENDPOINT": stack.enter_context(_collector()),
                "OTEL_TRACES_SAMPLER": "traceidratio",
                "OTEL_TRACES_SAMPLER_ARG": str(options.traced),
            }
        for name, checkout, more in (("against", (options.against or HERE).resolve(), {}), ("here", HERE, traces)):
            home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="carteira-bench-")))
            workers = 2 if options.viewed is None else 1
            stands.append(stack.enter_context(_standing(name, checkout, home, options.accounts, more, workers)))
        for stand in stands:
            closed_loop(stand.url, PEAK_CONNECTIONS, WARM_SECONDS, stand.requests)
        rate = min(closed_loop(s.url, PEAK_CONNECTIONS, PEAK_SECONDS, s.requests).rate for s in stands) / 2
        discarded = 0
        if options.viewed is not None:
            stack.enter_context(_viewed(stands[-1].url, options.viewed))
        while len(rounds) < options.rounds and discarded <= options.rounds:
            figures = _round(stands, rate, options.seconds)
            if figures is None:
                discarded += 1
            else:
                rounds.append(figures)
    if rounds:
        _report(rounds, rate, out)
    out.print(f"rounds discarded, since the machine was too busy to take the load: {discarded}")


if __name__ == "__main__":
    main()
