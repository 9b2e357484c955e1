"""Does the time of a failed sign-in reveal whether the person exists? `python -m benchmarks.signin [URL]`.

It registers fifteen people, then fails to sign in as them and as unknown people, in random order, and compares. It
stays below the limits: nine failures a person, three hundred an address in a quarter of an hour, so run it once in that
time.
"""

import asyncio
import random
import statistics
import sys
import time

import httpx
from validate_docbr import CPF

PEOPLE, TRIES = 15, 9


async def register(http: httpx.AsyncClient, number: int) -> str:
    """Register a person and return their e-mail."""
    email = f"tempo.{number}.{random.randrange(10**9)}@exemplo.com.br"
    person = {
        "full_name": "Pessoa do Tempo",
        "email": email,
        "cpf": CPF().generate(),
        "birth_date": "1990-01-01",
        "phone": "11987654321",
        "password": "Girassol7amarelo",
    }
    (await http.post("/users/register", json=person)).raise_for_status()
    return email


async def measure(http: httpx.AsyncClient, email: str) -> float:
    """Fail to sign in and return the milliseconds that it took."""
    began = time.perf_counter()
    answer = await http.post("/auth/login", data={"username": email, "password": "Errada123"})
    seconds = time.perf_counter() - began
    assert answer.status_code == 401, answer.text  # noqa: PLR2004 - HTTP's own number
    return seconds * 1000


async def main(url: str) -> None:
    """Measure and print."""
    async with httpx.AsyncClient(base_url=url, timeout=30) as http:
        people = [await register(http, number) for number in range(PEOPLE)]
        nobody = [f"ninguem.{random.randrange(10**9)}@exemplo.com.br" for _ in people]
        tries = [(True, name) for name in people] * TRIES + [(False, name) for name in nobody] * TRIES
        random.shuffle(tries)
        times: dict[bool, list[float]] = {True: [], False: []}
        for known, name in tries:
            times[known].append(await measure(http, name))
    for known, label in ((True, "known  "), (False, "unknown")):
        cut = statistics.quantiles(times[known], n=20)
        print(f"{label}  n={len(times[known])}  median {cut[9]:.1f} ms  p5 {cut[0]:.1f}  p95 {cut[18]:.1f}")
    difference = statistics.median(times[True]) - statistics.median(times[False])
    error = sum(statistics.variance(sample) / len(sample) for sample in times.values()) ** 0.5 * 1.2533
    print(f"difference of medians {difference:+.1f} ms, standard error {error:.1f} ms")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000"))
