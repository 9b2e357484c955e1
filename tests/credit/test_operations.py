"""The operations that the command line calls, by credit's door alone."""

import dataclasses
from pathlib import Path

import pytest

from carteira import credit
from carteira.credit import base_a
from carteira.embedded import Endpoints
from carteira.kit.db.engine import Database
from tests.credit.test_sealing import READER, _fill


async def test_an_operators_commands_on_credit(
    endpoints: Endpoints, new_database: object, key_file: Path, tmp_path: Path
) -> None:
    url: str = new_database("operations")  # type: ignore[operator] # a callable fixture
    config = credit.CreditConfig(
        key_file,
        aws=credit.AwsAccess(endpoint_url=endpoints.aws_endpoint_url),
        table=f"credit-operations-{tmp_path.name}",
        development=True,
        makes_people_up=True,
    )

    database = Database(url, pool_size=2)
    (cpf,) = await _fill(database, credit.Stores(config), 1)
    await base_a.read(database, credit.Stores(config).keyring, cpf, READER)
    await database.close()
    told: list[tuple[int, int]] = []
    result = await credit.rotate_keys(config, url, new_key=True, progress=lambda *now: told.append(now))
    assert (result.rotated, result.active, told) == (1, "k2", [(0, 1), (1, 1)])
    verified = await credit.verify_accesses(config, url)
    assert (verified.checked, verified.broken_at) == (1, None)
    assert (await credit.verify_accesses(config, url, noted_head=verified.head)).broken_at is None
    table = await credit.generate_people(config, people=60, seed=1, progress=lambda *_: None)
    assert table.endswith("-synthetic")
    folder = tmp_path / "export"
    written = await credit.export_people(config, folder, synthetic_people=True, progress=lambda *_: None)
    assert written == 60
    with pytest.raises(credit.TooFewPeople):
        credit.train_scorecard(folder)
    with pytest.raises(credit.NotInProduction):
        await credit.generate_people(
            dataclasses.replace(config, development=False, makes_people_up=False),
            people=1,
            seed=1,
            progress=lambda *_: None,
        )
