"""`make` finds what runs containers: Docker if its service answers, or podman with Docker's Compose over its socket."""

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support.source import ROOT

SERVICE = "Server: Docker Engine - Community\n Engine:\n  Version: 29.1"
DOCKERS = {
    "docker": f"Client:\n Version: 29.1\n{SERVICE}",
    "docker without a service": "Client:\n Version: 29.1",
    "docker's client of podman's service": "Client:\n Version: 29.1\nServer: linux\n Podman Engine:\n  Version: 4.3.1",
    "podman-docker": "Client:       Podman Engine\nVersion:      4.3.1",
}
SOCKET = "/run/user/1000/podman/podman.sock"
PODMAN = f"""case "$1 $2" in info*) echo {SOCKET};; "image inspect") exit 1;; *) echo "podman $1";; esac"""
COMPOSE = """case "$1" in version) echo 5.6.1;; ls) ;; *) echo "compose $* by $DOCKER_HOST";; esac"""


def made(folder: Path, *words: str, programs: Mapping[str, str], **environment: str) -> str:
    """Run make where only its own programs and these shell scripts exist; return what it prints."""
    path = folder / "bin"
    path.mkdir(exist_ok=True)
    for name in ("cat", "env", "git", "grep", "make", "sed"):
        (path / name).unlink(missing_ok=True)
        (path / name).symlink_to(f"/usr/bin/{name}")
    for name, script in programs.items():
        file = path / name
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(0o700)
    done = subprocess.run(
        ["/usr/bin/make", "-s", *words, "VENV=none", "PYTHON=none"],
        cwd=ROOT,
        env={"PATH": str(path), "HOME": str(folder)} | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


@pytest.mark.parametrize("docker", DOCKERS)
def test_compose_goes_over_podmans_socket_unless_docker_answers(tmp_path: Path, docker: str) -> None:
    programs = {"docker": f"cat << END\n{DOCKERS[docker]}\nEND", "podman": PODMAN}
    called = "docker compose" if docker == "docker" else f"env DOCKER_HOST=unix://{SOCKET} docker-compose"
    assert made(tmp_path, "compose", programs=programs).split() == f"{called} -f compose.yaml".split()


def test_podman_by_itself_is_found_and_what_is_given_is_taken(tmp_path: Path) -> None:
    assert made(tmp_path, "compose", programs={}).startswith("docker compose "), "an error then names Docker"
    podman = {"podman": PODMAN}
    assert made(tmp_path, "compose", programs=podman).startswith(f"env DOCKER_HOST=unix://{SOCKET} docker-compose ")
    given = made(tmp_path, "compose", "ENV=production", programs=podman, DOCKER_HOST="unix:///other")
    files = "-f compose.yaml -f compose.production.yaml --profile production"
    assert given.split() == f"env DOCKER_HOST=unix:///other docker-compose {files}".split()


@pytest.mark.parametrize(
    ("compose", "missing"),
    [
        ("exit 127", "No Docker Compose of version 2"),
        ("echo 1.29.2", "No Docker Compose of version 2"),
        (COMPOSE.replace("ls) ;;", "ls) exit 1;;"), "No service of podman answers"),
    ],
)
def test_up_says_what_is_missing_and_where_to_read_of_it(tmp_path: Path, compose: str, missing: str) -> None:
    told = made(tmp_path, "up", programs={"podman": PODMAN, "docker-compose": compose})
    assert missing in told
    assert "podman build" not in told
    (page,) = re.findall(r"docs/\S+\.md", told)
    assert (ROOT / page).exists()


def test_up_builds_missing_images_first_and_no_others(tmp_path: Path) -> None:
    started = f"compose -f compose.yaml up --detach by unix://{SOCKET}"
    programs = {"podman": PODMAN, "docker-compose": COMPOSE}
    assert made(tmp_path, "up", programs=programs).splitlines() == ["podman build"] * 2 + [started]
    elsewhere = made(tmp_path, "up", programs=programs, CARTEIRA_SERVER_IMAGE="registry.example/carteira-server:1")
    assert elsewhere.splitlines() == [started]
    there = programs | {"podman": PODMAN.replace("exit 1", "exit 0")}
    assert made(tmp_path, "up", programs=there).splitlines() == [started]
