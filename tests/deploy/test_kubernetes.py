"""The manifests: valid in four releases, clean by checkov, and a purchase where podman plays what the page leads to.

`played` changes, by name, what `kube play` of Debian 12's podman does otherwise than Kubernetes.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pyotp
import pytest
import yaml

from tests.support.containers import MISSING, TOOLS, Podman
from tests.support.guides import script_of
from tests.support.source import ROOT
from tests.support.waiting import wait_until

PAGE = ROOT / "docs" / "how-to" / "run-on-kubernetes.md"
LEFT_OUT = 2
"""Blocks of the page that no script can follow, each with the reason."""
MANIFESTS = ROOT / "deploy" / "kubernetes"
CHECKERS = Path(sys.prefix) / "kubernetes"
ENVIRONMENTS = ("staging", "production")
RELEASES = ("1.34", "1.35", "1.36", "1.37")
EXCEPTIONS = {"CKV_K8S_43": "a release's digest is written as it is deployed (kustomize edit set image)"}
UNSECURED = "DATABASE_INSECURE=true\nREDIS_INSECURE=true\nSMTP_INSECURE=true\nAWS_ENDPOINT_URL=http://aws:4566\n"
"""What the test's network does without: TLS, and AWS."""

pytestmark = [
    pytest.mark.timeout(1500),
    pytest.mark.skipif(
        bool(MISSING) or not (TOOLS / "kubectl").exists(),
        reason="NO kubectl: no manifest was looked at (`make deploy-tools`)",
    ),
]


def run(*command: str, cwd: str = "", **environment: str) -> str:
    done = subprocess.run(
        command, cwd=cwd or ROOT, env=os.environ | environment, capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def rendered(folder: Path) -> str:
    return run(str(TOOLS / "kubectl"), "kustomize", str(folder))


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """A copy of what the page uses, with the settings that this network needs."""
    folder = tmp_path / "sources"
    shutil.copytree(ROOT / "deploy", folder / "deploy")
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy2(ROOT / name, folder)
    with (folder / "deploy" / "kubernetes" / "staging" / "settings.env").open("a") as settings:
        settings.write(UNSECURED)
    return folder


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_manifests_are_sound_in_four_releases_and_clean(environment: str, tmp_path: Path) -> None:
    if not CHECKERS.is_dir():
        pytest.skip("NO checkov: the manifests were not checked (`make deploy-tools`)")
    file = tmp_path / "manifests.yaml"
    file.write_text(rendered(MANIFESTS / environment))
    for release in RELEASES:
        run(
            str(CHECKERS / "bin" / "kubernetes-validate"),
            "-k",
            release,
            "--strict",
            str(file),
            PYTHONPATH=str(CHECKERS),
        )
    skipped = [f"--skip-check={check}" for check in EXCEPTIONS]
    checkov = ("-m", "checkov.main", "--skip-download", "--quiet", "--compact", "-f", str(file), *skipped)
    run(sys.executable, *checkov, PYTHONPATH=str(CHECKERS))


def test_the_network_policy_allows_used_traffic_and_traces_to_monitoring() -> None:
    """Ports of docs/reference/connections.md; into the pods come the ingress and Prometheus alone."""
    policy = next(
        one for one in yaml.safe_load_all(rendered(MANIFESTS / "production")) if one["kind"] == "NetworkPolicy"
    )["spec"]
    assert (policy["podSelector"], policy["policyTypes"]) == ({}, ["Ingress", "Egress"])
    into = [source["namespaceSelector"]["matchLabels"] for rule in policy["ingress"] for source in rule["from"]]
    assert into == [{"kubernetes.io/metadata.name": "traefik"}, {"kubernetes.io/metadata.name": "monitoring"}]
    open_to_all = {port["port"] for rule in policy["egress"] if "to" not in rule for port in rule["ports"]}
    assert open_to_all == {443, 465, 587, 5432, 6379}, "not 80, where clouds tell pods their credentials"
    (traces,) = [rule for rule in policy["egress"] if {"protocol": "TCP", "port": 4318} in rule["ports"]]
    assert traces["to"] == [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]


@pytest.mark.parametrize("folder", ["base", *ENVIRONMENTS])
def test_probes_scaling_and_spread_concern_the_pods_that_there_are(folder: str) -> None:
    manifests = list(yaml.safe_load_all(rendered(MANIFESTS / folder)))

    def of_kind(kind: str) -> dict[str, dict[str, Any]]:
        return {one["metadata"]["name"]: one["spec"] for one in manifests if one["kind"] == kind}

    deployments = of_kind("Deployment")
    assert deployments.keys() == {"api", "worker"} == of_kind("PodDisruptionBudget").keys()
    for name, port in (("api", 8000), ("worker", 8001)):
        template = deployments[name]["template"]
        labels = template["metadata"]["labels"].items()
        (container,) = template["spec"]["containers"]
        (opened,) = container["ports"]
        assert opened["containerPort"] == port
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            asked = container[probe]["httpGet"]
            assert (asked["path"], asked["port"]) == ("/health", opened["name"]), probe
        start = container["startupProbe"]
        assert start["periodSeconds"] * start["failureThreshold"] >= 120, "two minutes for a start"
        spread = template["spec"]["topologySpreadConstraints"]
        assert {one["topologyKey"] for one in spread} == {"kubernetes.io/hostname", "topology.kubernetes.io/zone"}
        budget = of_kind("PodDisruptionBudget")[name]
        selectors = [deployments[name]["selector"], budget["selector"], *(one["labelSelector"] for one in spread)]
        assert all(selector["matchLabels"] and selector["matchLabels"].items() <= labels for selector in selectors)
        assert budget["maxUnavailable"] == 1
    others = [one["template"]["metadata"]["labels"] for name, one in deployments.items() if name != "api"]
    others += [one["template"]["metadata"]["labels"] for one in of_kind("Job").values()]
    (service,) = of_kind("Service").values()
    assert service["selector"].items() <= deployments["api"]["template"]["metadata"]["labels"].items()
    assert not [one for one in others if service["selector"].items() <= one.items()], "people reach the API alone"
    assert [port["targetPort"] for port in service["ports"]] == ["http"]
    (scaling,) = of_kind("HorizontalPodAutoscaler").values()
    assert scaling["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "api"}
    assert 2 <= scaling["minReplicas"] <= scaling["maxReplicas"], "one may fail"
    assert "replicas" not in deployments["api"], "it would undo the autoscaler's at each release"
    (metric,) = scaling["metrics"]
    assert metric["resource"]["name"] == "cpu"
    assert "cpu" in deployments["api"]["template"]["spec"]["containers"][0]["resources"]["requests"], "a share of this"


EDITOR = """#!{python}
import os, pathlib, sys, yaml
values = yaml.safe_load(pathlib.Path("{values}").read_text())
values["carteira-keys"] = {{file.name: file.read_text() for file in pathlib.Path(os.environ["KEYS"]).iterdir()}}
secrets = [dict(apiVersion="v1", kind="Secret", metadata=dict(name=name), stringData=values[name]) for name in values]
pathlib.Path(sys.argv[1]).write_text(yaml.safe_dump_all(secrets))
"""
"""Does with the file what a person would: it writes down secrets, and the keys that the page has made."""


def followed(sources: Path, values: dict[str, dict[str, str]], home: Path) -> dict[str, dict[str, str]]:
    """Follow the page, and return what its encrypted file holds for the key's owner."""
    (home / "values.yaml").write_text(yaml.safe_dump(values))
    editor, page = home / "editor", home / "page.sh"
    editor.write_text(EDITOR.format(python=sys.executable, values=home / "values.yaml"))
    editor.chmod(0o700)
    page.write_text(script_of(PAGE, LEFT_OUT))
    tools = {
        "PATH": f"{TOOLS}:{Path(sys.prefix) / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": str(TOOLS.parent),
        "EDITOR": str(editor),
        "SOPS_AGE_KEY_FILE": str(home / "age.txt"),
    }
    run("bash", str(page), cwd=str(sources), **tools)
    file = sources / "deploy" / "kubernetes" / "staging" / "secrets.yaml"
    opened = yaml.safe_load_all(run(str(TOOLS / "sops"), "decrypt", str(file), **tools))
    found: dict[str, dict[str, str]] = {one["metadata"]["name"]: one["stringData"] for one in opened}
    kept = file.read_text()
    assert not [value for data in found.values() for value in data.values() if value in kept], "nothing is in clear"
    return found


def played(text: str, keys: Path) -> Iterator[dict[str, Any]]:
    """Return the manifests as podman plays them: a Job as a Pod, one of each, this machine's image.

    podman publishes each port on the machine, and knows neither a port's name in a probe nor the modes of a secret's
    files. Keys that everybody may read are refused, so that they come from a folder.
    """
    for manifest in yaml.safe_load_all(text):
        manifest["metadata"].pop("namespace", None)
        if manifest["kind"] == "ConfigMap":
            yield manifest
        if manifest["kind"] not in {"Deployment", "Job"}:
            continue
        template = manifest["spec"]["template"]
        for volume in template["spec"]["volumes"]:
            if volume["name"] == "keys":
                del volume["secret"]
                volume["hostPath"] = {"path": str(keys), "type": "Directory"}
        for container in template["spec"]["containers"]:
            container |= {"image": "localhost/carteira-server", "imagePullPolicy": "Never"}
            for unknown in ("ports", "startupProbe", "livenessProbe", "readinessProbe"):
                container.pop(unknown, None)
        if manifest["kind"] == "Deployment":
            manifest["spec"]["replicas"] = 1
            yield manifest
        else:
            head = {"name": manifest["metadata"]["name"], "labels": template["metadata"]["labels"]}
            yield {"apiVersion": "v1", "kind": "Pod", "metadata": head, "spec": template["spec"]}


def keys_of_the_user(content: dict[str, str], home: Path) -> Path:
    """Write the keys into a folder of the user in the containers, whom this folder lets in."""
    keys = home / "keys"
    keys.mkdir()
    for name, text in content.items():
        (keys / name).write_text(text)
        (keys / name).chmod(0o600)
    for path in (keys, *keys.iterdir()):
        os.chown(path, 10001, 10001)
    home.chmod(0o755)
    return keys


def start_servers(podman: Podman) -> None:
    podman.make_standins("postgres", "valkey", "mail")
    podman("network", "create", "kube")
    run_in = ("run", "--detach", "--network=kube", "--name")
    passwords = [f"--env={name}=development" for name in ("POSTGRES_PASSWORD", "OWNER_PASSWORD", "SERVICE_PASSWORD")]
    roles = f"--volume={ROOT}/deploy/compose/database:/docker-entrypoint-initdb.d:ro"
    podman(*run_in, "database", "--user=postgres", *passwords, roles, "localhost/standin-postgres")
    podman(*run_in, "valkey", "localhost/standin-valkey", "valkey-server", "--protected-mode", "no")
    aws = ("--host", "0.0.0.0", "--port", "4566", "--data-dir", "/data")  # noqa: S104 - it listens inside a container
    podman(*run_in, "aws", "--entrypoint=roto-server", "localhost/carteira", *aws)
    podman(*run_in, "mail", "localhost/standin-mail")
    ready = ("exec", "database", "pg_isready", "--quiet", "--host=127.0.0.1", "--dbname=carteira")
    wait_until(
        lambda: podman(*ready, "--username=postgres", check=False) == "" and succeeds(podman, *ready), "PostgreSQL", 60
    )


def succeeds(podman: Podman, *arguments: str) -> bool:
    command = ["podman", *arguments]
    return subprocess.run(command, env=podman.environment, capture_output=True, check=False).returncode == 0


def purchase(url: str, link: str, processor: str) -> str:
    """Accept an administrator's invitation, open an account, and pay with its card; return the answer."""
    with httpx.Client(base_url=url, timeout=30) as client:
        token = link.partition("token=")[2].split()[0]
        secret = client.post("/auth/invitation/start", data={"token": token}).json()["secret"]
        form = {"token": token, "password": "Girassol7amarelo9", "code": pyotp.TOTP(secret).now()}
        codes = client.post("/auth/invitation/accept", data=form).json()["recovery_codes"]
        login = {"username": "ana@empresa.com.br", "password": form["password"]}
        mfa = client.post("/auth/login", data=login).json()["mfa_token"]
        signed = client.post("/auth/mfa", json={"mfa_token": mfa, "code": codes[0]}).json()["access_token"]
        headers = {"Authorization": f"Bearer {signed}", "Idempotency-Key": "kubernetes-account-1"}
        account = {
            "account": "5678",
            "cpf": "529.982.247-25",
            "contact": "m@empresa.com.br",
            "balances": {"CASH": 50000},
        }
        assert client.post("/benefits/accounts", json=account, headers=headers).status_code == 201
        body = {
            "id": "k-1",
            "account": "5678",
            "totalAmount": 100.0,
            "mcc": "5811",
            "merchant": "PADARIA DO ZE SAO PAULO BR",
        }
        return client.post("/transactions/authorizer", json=body, headers={"Authorization": f"Bearer {processor}"}).text


def test_the_page_leads_to_a_purchase_where_podman_plays(podman: Podman, sources: Path, tmp_path: Path) -> None:
    start_servers(podman)
    secret = os.urandom(32).hex()
    values = {
        "carteira-secrets": {
            "database_url": "postgresql://carteira_app:development@database:5432/carteira",
            "redis_url": "redis://valkey:6379/0",
            "jwt_secret": secret,
            "metrics_token": os.urandom(16).hex(),
            "smtp_url": "smtp://mail:1025",
        },
        "carteira-owner": {"migration_database_url": "postgresql://carteira:development@database:5432/carteira"},
    }
    secrets = followed(sources, values, tmp_path)
    assert {name: secrets[name] for name in values} == values
    for name, data in secrets.items():
        file = tmp_path / f"{name}.yaml"  # podman passes a secret's `data` on as it is stored
        file.write_text(yaml.safe_dump({"data": data}))
        podman("secret", "create", name, str(file))
    keys = keys_of_the_user(secrets["carteira-keys"], tmp_path)
    documents = list(played((sources / "dist" / "staging.yaml").read_text(), keys))
    shared = [document for document in documents if document["kind"] == "ConfigMap"]
    for kind in ("Pod", "Deployment"):
        file = tmp_path / f"{kind}.yaml"
        file.write_text(yaml.safe_dump_all([*shared, *(one for one in documents if one["kind"] == kind)]))
        podman("kube", "play", "--network=kube", str(file))
        if kind == "Pod":
            assert podman("wait", "migration-migration", seconds=120) == "0"
    infra = podman("ps", "--all", "--quiet", "--filter=name=infra", "--filter=pod=api-pod-0")
    networks: dict[str, Any] = json.loads(podman("inspect", infra))[0]["NetworkSettings"]["Networks"]
    url = f"http://{networks['kube']['IPAddress']}:8000"

    def is_ready() -> bool:
        try:
            return httpx.get(f"{url}/health/ready", timeout=5).status_code == 200
        except httpx.HTTPError:
            return False

    wait_until(is_ready, "the pod", 120)
    invited = ("admin", "create", "--email", "ana@empresa.com.br", "--name", "Ana Pereira")
    link = podman("exec", "api-pod-0-api", "carteira", *invited)
    signing = """
import time
from joserfc import jwt
from joserfc.jwk import OctKey
secret = OctKey.import_key(open("/secrets/jwt_secret").read())
print(jwt.encode({"alg": "HS256"}, {"exp": int(time.time()) + 600}, secret))
"""
    token = podman("exec", "api-pod-0-api", "python3", "-W", "ignore", "-c", signing)
    assert re.sub(r"\s", "", purchase(url, link, token)) == '{"code":"00"}'
    assert "as mesmas chaves" in " ".join(
        podman("exec", "worker-pod-0-worker", "carteira", "doctor", check=False).split()
    )
