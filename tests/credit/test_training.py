"""Export and training: resumable, pseudonymous, and with the same scorecard from the same data."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from validate_docbr import CPF

from carteira.credit import AwsAccess, CreditConfig, Stores, store_model, stored_models
from carteira.credit.base_b import partition_of
from carteira.credit.export import ExportMismatch, export
from carteira.credit.synthetic import cpf_of, generate, person
from carteira.credit.training import (
    TooFewPeople,
    area_under_curve,
    kolmogorov_smirnov,
    stability,
    train,
)
from carteira.embedded import Endpoints
from carteira.kit.values.clock import clock
from tests.support.databases import NewDatabase

PEOPLE = 2_400
SEED = 7


@pytest.fixture(scope="module")
async def stores(endpoints: Endpoints, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stores]:
    config = CreditConfig(
        tmp_path_factory.mktemp("training") / "credit.json",
        aws=AwsAccess(endpoint_url=endpoints.aws_endpoint_url),
        table=f"credit-training-{tmp_path_factory.getbasetemp().name}",
        development=True,
    )
    async with Stores(config).opened() as stores:
        told: list[tuple[int, int]] = []
        await generate(
            stores.b, stores.keyring, people=PEOPLE, seed=SEED, progress=lambda done, all_: told.append((done, all_))
        )
        assert told[-1] == (PEOPLE, PEOPLE)
        yield stores


@pytest.fixture(scope="module")
async def exported(stores: Stores, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported")
    assert await export(stores.b, stores.keyring, folder, segments=8) == PEOPLE
    return folder


def _rows(folder: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for file in folder.glob("people-*.parquet"):
        rows += pq.read_table(file).to_pylist()
    return sorted(rows, key=lambda row: str(row["pseudonym"]))


def _content(folder: Path, pattern: str) -> bytes:
    return b"".join(file.read_bytes() for file in folder.glob(pattern))


async def test_everybody_is_exported_once_and_nobody_can_be_named(exported: Path, stores: Stores) -> None:
    rows = _rows(exported)
    assert len({row["pseudonym"] for row in rows}) == PEOPLE
    assert set(rows[0]) == {"pseudonym", "age", "assets", "incomes", "defaulted", "outcome_on"}
    expected = sorted((who.age, who.defaulted, who.incomes) for who in (person(SEED, n) for n in range(PEOPLE)))
    assert sorted((row["age"], row["defaulted"], tuple(row["incomes"])) for row in rows) == expected
    content = _content(exported, "*")
    for number in range(0, PEOPLE, 97):
        assert cpf_of(number).encode() not in content
    hashes = [partition_of(stores.keyring, cpf_of(number)).encode() for number in range(PEOPLE)]
    parts = _content(exported, "*.parquet")
    assert not any(key in parts for key in hashes)


async def test_an_export_killed_half_way_goes_on(exported: Path, stores: Stores, tmp_path: Path) -> None:
    reached = asyncio.Event()

    def watch(_done: int, _total: int, rows: int) -> None:
        if rows > PEOPLE // 3:
            reached.set()

    work = asyncio.create_task(export(stores.b, stores.keyring, tmp_path, segments=4, page_items=100, progress=watch))
    await reached.wait()
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    notes = json.loads((tmp_path / "progress.json").read_text())
    before = sum(state["rows"] for state in notes["segments"].values())
    assert 0 < before < PEOPLE
    with pytest.raises(ExportMismatch):
        await export(stores.b, stores.keyring, tmp_path, segments=8)
    told: list[int] = []
    total = await export(
        stores.b, stores.keyring, tmp_path, segments=4, progress=lambda _done, _total, rows: told.append(rows)
    )
    assert total == PEOPLE
    assert told[0] > before, "it resumed there"
    assert _rows(tmp_path) == _rows(exported)
    assert await export(stores.b, stores.keyring, tmp_path, segments=2, resume=False) == PEOPLE
    assert _rows(tmp_path) == _rows(exported)


async def test_the_same_people_give_the_same_card(exported: Path, stores: Stores, tmp_path: Path) -> None:
    trained = train(exported)
    await export(stores.b, stores.keyring, tmp_path, segments=3)
    assert train(tmp_path).text == trained.text
    assert trained.people == PEOPLE
    measures = trained.measures
    assert 0.65 < measures["auc"] < 0.85
    assert measures["ks"] > 0.2
    assert measures["learnt_from"] + measures["held_out"] == PEOPLE
    foretold = sum(tenth["foretold"] * tenth["people"] for tenth in measures["calibration"])
    observed = sum(tenth["observed"] * tenth["people"] for tenth in measures["calibration"])
    assert foretold == pytest.approx(observed, rel=0.2)
    assert "age" not in {line.name for line in train(exported, without=frozenset({"age"})).card.features}


async def test_a_trained_model_is_stored_once_with_its_figures_and_sources(
    exported: Path, stores: Stores, new_database: NewDatabase, tmp_path: Path
) -> None:
    cpf = cpf_of(0)
    await stores.b.record_outcome(cpf, defaulted=person(SEED, 0).defaulted)
    await export(stores.b, stores.keyring, tmp_path)
    trained = train(tmp_path)
    assert (trained.outcomes_from, trained.outcomes_until) == (clock.today(), clock.today())
    assert train(exported).outcomes_from is None, "records from before days were stored have none"
    url = new_database("trained")
    assert await store_model(url, tmp_path, trained)
    assert not await store_model(url, tmp_path, trained)
    one, first = await stored_models(url)
    assert (one.version, one.origin, one.people) == (trained.card.model_version, "outcomes", PEOPLE)
    assert (one.in_force, first.in_force, first.origin) == (False, True, "shipped")
    assert one.digest == hashlib.sha256(trained.text.encode()).hexdigest()
    assert one.figures is not None
    assert one.figures.auc == trained.measures["auc"]


async def test_too_few_people_train_no_model(tmp_path: Path) -> None:
    with pytest.raises(TooFewPeople):
        train(tmp_path)


def test_the_measures_match_their_names() -> None:
    perfect = {100: [0, 10], 900: [10, 0]}
    useless = {100: [5, 5], 900: [5, 5]}
    assert (area_under_curve(perfect), kolmogorov_smirnov(perfect)) == (1.0, 1.0)
    assert (area_under_curve(useless), kolmogorov_smirnov(useless)) == (0.5, 0.0)
    many = {score: [10, 1] for score in range(0, 1000, 10)}
    assert stability(many, many) == pytest.approx(0)
    assert stability(many, {score: [10, 1] for score in range(0, 500, 10)}) > 0.25


def test_synthetic_people_follow_from_their_seed_and_have_valid_cpfs() -> None:
    assert person(1, 5) == person(1, 5)
    assert person(1, 5) != person(2, 5)
    rules = CPF()
    cpfs = {cpf_of(number) for number in range(3_000)}
    assert len(cpfs) == 3_000
    assert all(rules.validate(cpf) for cpf in cpfs)
