"""The deployment files are sound as far as reading them can show; `make test-deploy` runs them."""

import ast
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.version import Version

from carteira import __version__
from carteira.doctor.database import DISCREET
from carteira.settings import Settings
from tests.support import cloudformation
from tests.support.source import ROOT, SOURCE
from tools.pin_images import NAMED, pinned

COMPOSE = ROOT / "deploy" / "compose"
VERSION = re.compile(r"v?\d+\.\d+(\.\d+)?(-[a-z-]+)?")
OTHERS = ("OTEL_", "ELASTIC_", "POSTGRES_", "GF_")
WRITES_BESIDE_ITS_PROGRAMS = {"elasticsearch", "kibana", "apm-server"}


class Loader(yaml.SafeLoader):  # type: ignore[misc] # yaml has no types
    """Reads Compose's tags `!override` and `!reset` as the values that they precede."""


def _plain(loader: Loader, _tag: str, node: yaml.Node) -> Any:  # noqa: ANN401 - any YAML
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return loader.construct_scalar(node)


Loader.add_multi_constructor("!", _plain)


def read(name: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.load((ROOT / name).read_text(), Loader)  # noqa: S506 - a safe loader with two tags more
    return content


SERVICES: dict[str, dict[str, Any]] = read("compose.yaml")["services"]
PRODUCTION: dict[str, dict[str, Any]] = read("compose.production.yaml")["services"]


def test_images_are_named_by_exact_version() -> None:
    named = [found for name in ("Dockerfile", "compose.yaml") for found in NAMED.finditer((ROOT / name).read_text())]
    assert len(named) == len({found["name"] for found in named}) == 12
    assert not [found[0] for found in named if not VERSION.match(found["tag"])]


@pytest.mark.parametrize("workflow", sorted((ROOT / ".github" / "workflows").glob("*.yml")), ids=lambda path: path.name)
def test_other_peoples_actions_are_named_by_their_commit(workflow: Path) -> None:
    """A tag can be moved to another program, as all of one scanner's were in 2026."""
    used = re.findall(r"uses: (\S+)", workflow.read_text())
    assert used
    assert [one for one in used if not re.fullmatch(r"actions/[\w-]+@v\d+|[\w./-]+@[0-9a-f]{40}", one)] == []


def test_pinning_writes_a_digest_once() -> None:
    text = "image: ${X:-docker.io/library/caddy:2.11.4}\n"
    once = pinned(text, lambda _host, _name, _tag: "sha256:" + "a" * 64)
    assert once == "image: ${X:-docker.io/library/caddy:2.11.4@sha256:" + "a" * 64 + "}\n"
    assert pinned(once, lambda *_: "sha256:" + "b" * 64) == once.replace("a" * 64, "b" * 64)


@pytest.mark.parametrize("name", SERVICES)
def test_a_container_has_only_the_rights_that_it_needs(name: str) -> None:
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert service.get("cap_add", []) == (["NET_BIND_SERVICE"] if name == "caddy" else [])
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["read_only"] == (name not in WRITES_BESIDE_ITS_PROGRAMS)
    assert service["restart"] in {"unless-stopped", "no"}
    outside = [port for port in service.get("ports", ()) if not port.startswith("127.0.0.1:")]
    assert bool(outside) == (name == "caddy"), "people reach Caddy only"


def test_volumes_lie_in_folders_of_the_running_user() -> None:
    made = re.findall(r"install -d -o 10001 -g 10001 -m 0700 (\S+)", (ROOT / "Dockerfile").read_text())
    ours = [PRODUCTION[name] for name in ("api", "worker", "migration", "keys")] + [SERVICES["api"], SERVICES["aws"]]
    assert {volume.split(":")[1] for service in ours for volume in service["volumes"]} == {*made}


def test_production_has_no_service_with_a_public_password() -> None:
    """With any profile, production starts none of compose.yaml's services that have its passwords."""
    served = {
        name: service | PRODUCTION.get(name, {})
        for name, service in SERVICES.items()
        if PRODUCTION.get(name, {}).get("profiles") != ["development"]
    }
    assert served.keys() == {
        *("api", "worker", "migration", "database", "valkey", "prometheus", "alertmanager", "grafana", "caddy"),
    }
    assert not [name for name, service in served.items() if "development" in str(service)]
    assert not [name for name, service in served.items() if "memory" not in service["deploy"]["resources"]["limits"]]


def test_production_sends_alerts_to_the_receivers_in_its_own_file() -> None:
    """compose.yaml's Alertmanager writes to the mail catcher, which production lacks."""
    (bound,) = PRODUCTION["alertmanager"]["volumes"]
    assert SERVICES["alertmanager"]["volumes"][0].endswith(f":{bound['target']}:ro")
    assert bound["bind"] == {"create_host_path": False}, "a folder in the place of the file would start, and fail"
    file = bound["source"].partition(":-./")[2].removesuffix("}")
    assert file in (ROOT / ".gitignore").read_text().splitlines(), "it may hold secrets"


def test_the_log_of_postgresql_holds_no_personal_data() -> None:
    """The settings are the doctor's; AWS also logs slow statements, without their parameters."""
    given = dict(one.split("=") for one in SERVICES["database"]["command"] if "=" in one)
    assert given == {name: DISCREET[name][0] for name in ("log_min_error_statement", "log_error_verbosity")}
    assert "command" not in PRODUCTION["database"]
    on_aws = cloudformation.read("data")["Resources"]["DatabaseParameters"]["Properties"]["Parameters"]
    assert given.items() <= on_aws.items()
    assert on_aws["log_parameter_max_length"] == DISCREET["log_parameter_max_length"][0]


@pytest.mark.parametrize("services", [SERVICES, PRODUCTION], ids=["trial", "production"])
def test_containers_get_existing_settings(services: dict[str, dict[str, Any]]) -> None:
    known = {name.upper() for name in Settings.model_fields}
    for name, service in services.items():
        if name in {"api", "worker", "migration", "cashback", "keys"}:
            given = set(service.get("environment", {})) - {"SECRETS_FOLDER"}
            assert not {one for one in given - known if not one.startswith(OTHERS)}


def test_production_starts_with_its_settings_and_drawn_secrets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SMTP_URL", "smtps://mail.exemplo.com.br")
    for _ in range(2):  # existing files stay
        subprocess.run([str(COMPOSE / "draw-secrets.sh"), str(tmp_path / "secrets")], check=True, capture_output=True)
    monkeypatch.delenv("SMTP_URL")
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700

    def set_all(values: dict[str, str]) -> None:
        for key, value in values.items():
            monkeypatch.setenv(
                key, re.sub(r"\$\{\w+(:-([^}]*)|:\?[^}]*)\}", lambda found: found[2] or "localhost", value)
            )

    example = (COMPOSE / "production.env.example").read_text()
    set_all(dict(re.findall(r"^([A-Z_]+)=(.*)$", example, re.MULTILINE)))
    set_all(PRODUCTION["api"]["environment"])
    folder = tmp_path / "mounted"
    folder.mkdir()
    for secret in PRODUCTION["api"]["secrets"]:
        (folder / secret).write_text((tmp_path / "secrets" / secret).read_text())
    monkeypatch.setenv("SECRETS_FOLDER", str(folder))
    settings = Settings()
    assert settings.environment == "production"
    assert settings.jwt_secret.get_secret_value() == (folder / "jwt_secret").read_text()
    assert settings.migration_database_url is None, "serving containers do not have the owner's password"
    files = read("compose.production.yaml")["secrets"]
    drawn = {path.name for path in (tmp_path / "secrets").iterdir()}
    assert drawn == set(files) == {secret for one in PRODUCTION.values() for secret in one.get("secrets", ())}


def test_images_keep_the_models_of_the_aws_services_in_use() -> None:
    tree = ast.parse((ROOT / "deploy" / "docker" / "prune.py").read_text())
    kept: set[str] = next(
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "SERVICES"
    )
    sources = "\n".join(path.read_text() for path in SOURCE.rglob("*.py"))
    asked = set(re.findall(r"""\.(?:client|create_client|_create)\("([a-z0-9-]+)"\)""", sources))
    assert asked
    assert asked <= kept


def test_the_version_is_the_same_everywhere_and_later_than_the_last_release() -> None:
    dockerfile, changelog = (ROOT / "Dockerfile").read_text(), (ROOT / "CHANGELOG.md").read_text()
    [version] = re.findall(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version == __version__
    assert re.findall(r"^ARG VERSION=(.+)$", dockerfile, re.MULTILINE) == [version]
    for environment in ("staging", "production"):
        manifests = (ROOT / "deploy" / "kubernetes" / environment / "kustomization.yaml").read_text()
        assert re.findall(r'newTag: "(.+)"', manifests) == [version]
    unreleased, heading, _ = re.split(r"^## (\d+\.\d+\.\d+) ", changelog, maxsplit=1, flags=re.MULTILINE)
    assert Version(version) > Version(heading) or ("\n- " not in unreleased and version == heading)


def test_images_end_with_those_of_the_product() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert re.findall(r"^FROM .+ AS (\w+)$", dockerfile, re.MULTILINE)[-2:] == ["production", "trial"]


@pytest.mark.parametrize("environment", ["staging", "production"])
def test_kubernetes_starts_with_its_settings_and_secrets(
    environment: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.chdir(tmp_path)
    folder = ROOT / "deploy" / "kubernetes"
    (tmp_path / "secrets").mkdir()
    drawn = {"jwt_secret": "0123456789abcdef" * 4, "metrics_token": "m3trics-of-a-pod"}
    for secret in yaml.safe_load_all((folder / "secrets.example.yaml").read_text()):
        if secret and secret["metadata"]["name"] == "carteira-secrets":
            for name, value in secret["stringData"].items():
                (tmp_path / "secrets" / name).write_text(value or drawn[name])
    written = (folder / environment / "settings.env").read_text()
    (api,) = [
        one for one in yaml.safe_load_all((folder / "base" / "api.yaml").read_text()) if one["kind"] == "Deployment"
    ]
    given = {one["name"]: one["value"] for one in api["spec"]["template"]["spec"]["containers"][0]["env"]}
    for name, value in (dict(re.findall(r"^([A-Z_]+)=(.*)$", written, re.MULTILINE)) | given).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SECRETS_FOLDER", str(tmp_path / "secrets"))
    assert Settings().environment == environment


@pytest.mark.parametrize("environment", ["staging", "production"])
def test_kubernetes_gets_existing_settings(environment: str) -> None:
    folder = ROOT / "deploy" / "kubernetes"
    written = (folder / environment / "settings.env").read_text()
    secrets = [secret for secret in yaml.safe_load_all((folder / "secrets.example.yaml").read_text()) if secret]
    files = [
        name for secret in secrets for name in secret["stringData"] if secret["metadata"]["name"] != "carteira-keys"
    ]
    named = {*re.findall(r"^([A-Z_]+)=", written, re.MULTILINE), *(name.upper() for name in files)}
    assert named <= {name.upper() for name in Settings.model_fields}
    assert not list((folder / environment).glob("secrets.yaml")), "each installation has secrets of its own"
