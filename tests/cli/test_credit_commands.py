"""`carteira credit …` as an operator runs it: synthetic people, an export, a training, keys and the access log."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from carteira.embedded import Endpoints
from tests.support.commands import run_command
from tests.support.databases import NewDatabase


@pytest.mark.timeout(240)
def test_people_are_generated_exported_and_trained_on_and_keys_rotate(
    new_database: NewDatabase, endpoints: Endpoints, tmp_path: Path
) -> None:
    settings = {
        "database_url": new_database("credit_commands"),
        "redis_url": endpoints.redis_url,
        "aws_endpoint_url": endpoints.aws_endpoint_url,
        "credit_table": "commands",
    }

    def carteira(*words: str, group: str = "credit") -> subprocess.CompletedProcess[str]:
        return run_command(tmp_path, settings, group, *words)

    assert carteira("generate", "--people", "1500", "--seed", "3").returncode == 0
    exported = carteira("export", "people", "--synthetic", "--segments", "2")
    assert (exported.returncode, exported.stdout.split()[0]) == (0, "1500"), exported.stderr
    trained = carteira("train", "people", "card.json")
    assert trained.returncode == 0, trained.stderr
    assert json.loads((tmp_path / "card.json").read_text())
    assert re.search(r'"auc"', trained.stdout)
    few = carteira("train", "nowhere", "card.json")
    assert few.returncode == 1
    assert "Traceback" not in few.stderr
    rotated = carteira("rotate", "credit", group="keys")
    assert rotated.returncode == 0, rotated.stderr
    verified = carteira("verify-accesses")
    assert (verified.returncode, verified.stdout.split()[0]) == (0, "0"), verified.stderr
    garbled = carteira("verify-accesses", "--expect", "no head")
    assert (garbled.returncode, "Traceback" in garbled.stderr) == (1, False), garbled.stderr
