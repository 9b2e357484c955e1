"""The stacks of `deploy/aws` are consistent as far as reading them can show; `make test-deploy` deploys them."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from carteira.settings import Settings
from tests.support.cloudformation import ORDER, STACKS, read, resolved, walk
from tests.support.source import ROOT

SCRIPT = ROOT / "deploy" / "docker" / "secret_files.py"
TEMPLATES = {name: read(name) for name in ORDER}
TASKS = ("Migration", "Server", "Worker")
OTHERS = {"SECRETS_FOLDER", "TMPDIR"}
GIVEN = {
    "Environment": "production",
    "Modules": "all",
    "Domain": "carteira.exemplo.com.br",
    "Collector": "https://traces.exemplo.com.br:4318",
    "ServerSize": "medium",
    "Installation": "carteira",
    "AWS::Region": "sa-east-1",
    "OneImage": "true",
    "OwnDatabase": "true",
    "OwnTable": "true",
    "Image": "registry/carteira-server:0.10.0.dev0",
    "carteira-PublicNetworks": "10.20.0.0/23",
    "carteira-DocumentsUrl": "s3://carteira-1-documents",
    "carteira-JournalUrl": "s3://carteira-1-journal",
    "carteira-DumpsUrl": "s3://carteira-1-backups",
    "carteira-CreditKey": "arn:aws:kms:sa-east-1:1:key/1",
    "carteira-DatabaseHost": "carteira.x.sa-east-1.rds.amazonaws.com",
    "carteira-CacheHost": "master.carteira.x.sae1.cache.amazonaws.com",
}
SECRETS = {
    "OwnerPassword": "0wn er/p@ss{word}",
    "ServicePassword": "s3rv:ice%",
    "CachePassword": "c4che" * 4,
    "ProcessorSecret": "0123456789abcdefABCDEF" * 3,
    "MetricsToken": "m3trics" * 4,
    "Keys": json.dumps({"access-token.pem": "-----BEGIN", "rds.pem": "-----BEGIN"}),
}


def exported(template: dict[str, Any]) -> set[str]:
    return {one["Export"]["Name"]["Fn::Sub"] for one in template["Outputs"].values() if "Export" in one}


@pytest.mark.parametrize("name", ORDER)
def test_a_stack_requires_outputs_of_former_stacks(name: str) -> None:
    before = [exported(TEMPLATES[other]) for other in ORDER[: ORDER.index(name)]]
    asked = {value["Fn::Sub"] for key, value in walk(TEMPLATES[name]) if key == "Fn::ImportValue"}
    assert asked <= set().union(*before)
    assert len((STACKS / f"{name}.yaml").read_bytes()) < 51_200, (
        "a longer template would first have to be put in a bucket"
    )


def test_no_value_is_passed_that_nobody_reads() -> None:
    asked = {value["Fn::Sub"] for one in TEMPLATES.values() for key, value in walk(one) if key == "Fn::ImportValue"}
    assert set().union(*map(exported, (one for one in TEMPLATES.values() if "Outputs" in one))) == asked


@pytest.mark.parametrize("name", ORDER)
def test_parameters_are_bounded_described_and_used(name: str) -> None:
    template = TEMPLATES[name]
    body = json.dumps({key: part for key, part in template.items() if key != "Parameters"})
    for parameter, how in template["Parameters"].items():
        assert f'"{parameter}"' in body or f"${{{parameter}}}" in body, f"{parameter} is used nowhere"
        typed = how["Type"] not in {"String", "Number"}
        assert typed or {"AllowedPattern", "AllowedValues", "MinValue"} & how.keys(), f"{parameter} has no constraint"
        assert how["Type"] != "Number" or "AllowedValues" in how or how["MinValue"] < how["MaxValue"]
        default = how.get("Default")
        if default is not None:
            assert re.search(how.get("AllowedPattern", ""), str(default)), parameter
            assert default in how.get("AllowedValues", [default]), parameter


def containers(task: str) -> dict[str, dict[str, Any]]:
    definition = TEMPLATES["service"]["Resources"][f"{task}Task"]["Properties"]
    return {one["Name"]: one for one in definition["ContainerDefinitions"]}


@pytest.mark.parametrize("task", TASKS)
def test_a_container_has_only_the_rights_that_it_needs(task: str) -> None:
    both = containers(task)
    assert both.keys() == {"secrets", task.lower()}
    for one in both.values():
        assert one["ReadonlyRootFilesystem"] is True
        assert one["User"] == "10001:10001"
        assert one["LinuxParameters"] == {"Capabilities": {"Drop": ["ALL"]}}
    served = both[task.lower()]
    assert "Secrets" not in served, "a serving container has no secret in its environment"
    known = {name.upper() for name in Settings.model_fields}
    secret = {name.upper() for name, how in Settings.model_fields.items() if "Secret" in str(how.annotation)}
    named = {one["Name"] for one in served["Environment"]}
    assert named - OTHERS <= known
    assert not named & secret


def files_of(task: str, folder: Path, settings: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run the command that writes the secrets as files, with the environment of a task's container."""
    first = containers(task)["secrets"]
    values = {one["Name"]: resolved(one["Value"], GIVEN).replace("/data", str(folder)) for one in first["Environment"]}
    for one in first["Secrets"]:
        name = one["ValueFrom"]["Fn::ImportValue"]["Fn::Sub"].removeprefix("${Installation}-")
        values[one["Name"]] = json.dumps(settings) if name == "Settings" else SECRETS[name]
    command = [sys.executable, *first["EntryPoint"][1:3], str(SCRIPT), str(folder)]
    return subprocess.run(command, env=values, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("task", TASKS)
def test_production_starts_with_a_tasks_environment(task: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.chdir(tmp_path)
    example: dict[str, str] = json.loads((STACKS / "settings.example.json").read_text())
    own = example | {"BACKUP_RECIPIENTS": "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj"}
    done = files_of(task, tmp_path, own)
    assert done.returncode == 0, done.stderr
    assert not [text for text in SECRETS.values() if text in done.stdout + done.stderr], "the log shows no secret"
    written = [*(tmp_path / "secrets").iterdir(), *(tmp_path / "keys").iterdir(), tmp_path / "secrets"]
    assert not [path for path in written if path.stat().st_mode & 0o077]

    maps = TEMPLATES["service"]["Mappings"]
    for one in containers(task)[task.lower()]["Environment"]:
        monkeypatch.setenv(one["Name"], str(resolved(one["Value"], GIVEN, maps)).replace("/data", str(tmp_path)))
    settings = Settings()

    def secret(value: SecretStr | None) -> str:
        return "" if value is None else value.get_secret_value()

    assert settings.environment == "production"
    assert secret(settings.jwt_secret) == SECRETS["ProcessorSecret"]
    assert "carteira_app:s3rv%3Aice%25@carteira.x." in secret(settings.database_url)
    assert "sslmode=verify-full" in secret(settings.database_url)
    assert secret(settings.redis_url).startswith("rediss://:c4che")
    owner = secret(settings.migration_database_url)
    assert ("carteira:0wn%20er%2Fp%40ss%7Bword%7D@" in owner) == (task == "Migration"), (
        "serving containers do not have the owner's password"
    )
    assert (settings.backup_url is not None) == (task == "Worker")
    traces = [("OTEL_EXPORTER_OTLP_ENDPOINT", "https://traces.exemplo.com.br:4318/v1/traces")]
    assert settings.collectors() == ([] if task == "Migration" else traces)


def test_traces_leave_only_to_a_configured_collector() -> None:
    foundation = TEMPLATES["foundation"]
    named = (foundation["Parameters"]["CollectorNetwork"], TEMPLATES["service"]["Parameters"]["Collector"])
    assert [one["Default"] for one in named] == ["", ""]
    assert foundation["Conditions"]["Collected"] == {"Fn::Not": [{"Fn::Equals": [{"Ref": "CollectorNetwork"}, ""]}]}
    resources = foundation["Resources"]
    added = [one for one in resources.values() if one["Type"] == "AWS::EC2::SecurityGroupEgress"]
    assert [one["Condition"] for one in added] == ["Collected", "Collected"]
    always = [
        rule["ToPort"]
        for name in ("ServerGroup", "WorkerGroup")
        for rule in resources[name]["Properties"]["SecurityGroupEgress"]
    ]
    assert set(always) == {443, 465, 587, 5432, 6379}


def test_the_example_names_existing_settings() -> None:
    example = json.loads((STACKS / "settings.example.json").read_text())
    assert example.keys() <= {name.upper() for name in Settings.model_fields}


def actions(role: str) -> set[str]:
    policies = TEMPLATES["service"]["Resources"][role]["Properties"].get("Policies", [])
    found: set[str] = set()
    for key, value in walk(policies):
        if key == "Action":
            found.update([value] if isinstance(value, str) else value)
    return found


def test_a_role_has_only_the_rights_that_its_task_needs() -> None:
    assert not [one for role in ("LaunchRole", "ServerRole", "WorkerRole") for one in actions(role) if "*" in one]
    assert actions("MigrationRole") == set()
    read_by = {
        role: {value["Fn::Sub"] for key, value in walk(TEMPLATES["service"]["Resources"][role]) if "Import" in key}
        for role in ("LaunchRole", "MigrationLaunchRole", "ServerRole", "WorkerRole")
    }
    own = "${Installation}-OwnerPassword"
    assert [role for role, names in read_by.items() if own in names] == ["MigrationLaunchRole"]
    assert [role for role, names in read_by.items() if "${Installation}-Dumps" in names] == ["WorkerRole"]


@pytest.mark.parametrize(
    ("environment", "why"),
    [
        ({"KEYS": "{"}, "KEYS is no JSON object"),
        ({"KEYS": '["secret"]'}, "KEYS is no JSON object"),
        ({"KEYS": '{"../etc/passwd": "secret"}'}, "'../etc/passwd' is no name"),
        ({"SETTINGS": '{"LIMIT_TIERS": 20}'}, "'LIMIT_TIERS' is no name that it may have, or has no text"),
        ({"URL_REDIS_URL": "rediss://:{CACHE_PASSWORD}@cache"}, "URL_REDIS_URL names CACHE_PASSWORD"),
    ],
)
def test_wrong_secrets_are_named_and_nothing_is_written(environment: dict[str, str], why: str, tmp_path: Path) -> None:
    command = [sys.executable, "-I", "-S", str(SCRIPT), str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert why in done.stderr
    assert "secret" not in done.stderr.replace("is no", "")
    assert not list(tmp_path.iterdir())
