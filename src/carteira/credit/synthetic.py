"""Synthetic people with known truth, so that export, training and evaluation run anywhere without personal data.

Each person follows from a seed and a number alone. Whether they default is drawn from a probability that depends on
their age, income and assets and on an unobserved variable; the model sees only the former. The CPFs have correct check
digits and may belong to anybody; they are only ever hashed. Never in production.
"""

import asyncio
import math
import random
from dataclasses import dataclass
from datetime import date

from carteira.credit.base_b import BaseB, all_of, partition_of, to_attribute
from carteira.credit.errors import BaseBDown
from carteira.credit.keys import Keyring
from carteira.kit.ops.progress import Progress
from carteira.kit.values.clock import clock
from carteira.kit.values.ids import uuid7

BATCH = 25
"""The number of items in one BatchWriteItem."""
WRITERS = 8
UNPROCESSED_TRIES = 8
UNOBSERVED_SPREAD = 0.8
LIQUID_KINDS = ("savings", "investment")

_INCOMES = ("Salário", "Aluguel", "Trabalho autônomo", "Pensão")


@dataclass(frozen=True)
class Person:
    """A synthetic person; `risk` is the log odds of default from what can be observed."""

    number: int
    age: int
    assets: tuple[tuple[str, int], ...]
    incomes: tuple[int, ...]
    risk: float
    defaulted: bool


def person(seed: int, number: int, *, income_shift: float = 0.0) -> Person:
    """Return a person. `income_shift` moves everybody's log income: another population with the same truth."""
    chance = random.Random(f"{seed}:{number}")  # noqa: S311 - made-up people need no secrecy
    age = min(90, max(18, int(chance.gauss(43, 15))))
    career = min(1.0, (age - 18) / 25)
    income = math.exp(chance.gauss(7.75 + 0.45 * career + income_shift, 0.62))  # reais a month
    sources = 1 + (chance.random() < 0.22 + 0.1 * career) + (chance.random() < 0.06)  # noqa: PLR2004 - the truth's own
    shares = [1.0, *(chance.uniform(0.05, 0.5) for _ in range(sources - 1))]
    incomes = tuple(max(1, round(100 * income * share / sum(shares))) for share in shares)
    assets = _assets(chance, age, income)
    total = sum(amount for _, amount in assets) / 100
    liquid = sum(amount for kind, amount in assets if kind in LIQUID_KINDS) / 100
    risk = (
        -1.55
        - 0.025 * (min(age, 65) - 42)
        - 0.55 * (math.log(income) - 8.0)
        - 0.35 * (sources - 1)
        - 0.30 * min(2.5, math.log1p(liquid / income))
        - 0.22 * (min(5.5, math.log1p(total / income)) - 2.0)
        - 0.15 * (len({kind for kind, _ in assets}) - 1)
    )
    unobserved = chance.gauss(0, UNOBSERVED_SPREAD)
    defaulted = chance.random() < 1 / (1 + math.exp(-(risk + unobserved)))
    return Person(number, age, assets, incomes, risk, defaulted)


def _assets(chance: random.Random, age: int, income: float) -> tuple[tuple[str, int], ...]:
    """Return a person's assets: at least one, more with age and income."""
    grown = min(1.0, (age - 18) / 40)
    rich = max(-1.0, min(1.5, (math.log(income) - 8.0)))
    assets = []
    for kind, likely, months, spread in (
        ("vehicle", 0.35 + 0.2 * grown + 0.1 * rich, 9.0, 0.5),
        ("property", 0.10 + 0.4 * grown + 0.1 * rich, 70.0, 0.6),
        ("savings", 0.45 + 0.1 * rich, 1.5, 1.0),
        ("investment", 0.12 + 0.15 * rich + 0.1 * grown, 5.0, 1.1),
        ("company", 0.03 + 0.03 * rich, 15.0, 1.0),
    ):
        if chance.random() < likely:
            reais = income * months * math.exp(chance.gauss(0, spread))
            assets.append((kind, max(1, round(100 * reais))))
    if not assets:
        assets.append(("other", max(1, round(100 * income * math.exp(chance.gauss(-1, 0.8))))))
    return tuple(assets)


def cpf_of(number: int) -> str:
    """Return a number's CPF: nine digits spread over the range, and the two check digits."""
    digits = [int(digit) for digit in f"{(number * 7_919_993 + 100_000_007) % 1_000_000_000:09d}"]
    for _ in range(2):
        digits.append(sum(d * w for d, w in zip(digits, range(len(digits) + 1, 1, -1), strict=True)) * 10 % 11 % 10)
    return "".join(map(str, digits))


def _item(keyring: Keyring, who: Person, today: date) -> dict[str, object]:
    content = {
        "pk": partition_of(keyring, cpf_of(who.number)),
        "sk": "PROFILE",
        "version": str(uuid7()),
        "updated_at": clock.now().isoformat(),
        "age": who.age,
        "age_on": today.isoformat(),
        "assets": [{"kind": kind, "description": "Bem sintético", "amount": amount} for kind, amount in who.assets],
        "income_sources": [
            {"description": _INCOMES[index % len(_INCOMES)], "monthly_amount": amount}
            for index, amount in enumerate(who.incomes)
        ],
        "defaulted": who.defaulted,
        "synthetic": True,
    }
    return {name: to_attribute(value) for name, value in content.items()}


async def generate(base_b: BaseB, keyring: Keyring, *, people: int, seed: int, progress: Progress) -> None:
    """Write synthetic people into a table of their own; the same seed writes the same people.

    Raises:
        BaseBDown: DynamoDB does not answer, or takes no more after the retries.
    """
    await base_b.ensure_table()
    today = clock.today()
    numbers = iter(range(0, people, BATCH))
    done = 0

    async def write() -> None:
        nonlocal done
        for first in numbers:
            last = min(people, first + BATCH)
            items = [_item(keyring, person(seed, number), today) for number in range(first, last)]
            await _write_batch(base_b, items)
            done += last - first
            progress(done, people)

    await all_of(write() for _ in range(WRITERS))


async def _write_batch(base_b: BaseB, items: list[dict[str, object]]) -> None:
    """Write a batch; items that DynamoDB returned for lack of capacity are sent again, more slowly each time."""
    requests = {base_b.table: [{"PutRequest": {"Item": item}} for item in items]}
    for attempt in range(UNPROCESSED_TRIES):
        async with base_b.calling() as client:
            answer = await client.batch_write_item(RequestItems=requests)
        requests = answer.get("UnprocessedItems") or {}
        if not requests:
            return
        await asyncio.sleep(0.05 * 2**attempt * (0.5 + random.random()))  # noqa: S311 - jitter
    raise BaseBDown
