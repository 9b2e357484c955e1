"""Podman with its own storage, and Docker Compose over its socket: images are built and run as on any machine.

No image registry is reachable here: the base is Debian by mmdebstrap, and `tests/deploy/standins` makes the servers
that compose.yaml names. Health checks need systemd; without it a thread runs them.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from tests.support.source import ROOT
from tests.support.waiting import wait_until

TOOLS = Path(sys.prefix) / "deploy" / "bin"
STORAGE = Path(sys.prefix) / "containers"
# The same name each time, since podman records it beside its images.
RUN = Path(tempfile.gettempdir()) / f"carteira-containers-{sha256(str(STORAGE).encode()).hexdigest()[:8]}"
STANDINS = ROOT / "tests" / "deploy" / "standins"
SOCKET = Path("/run/podman/podman.sock")
"""Where the service of root's podman listens, and where `make` looks for it."""
BASE = "localhost/carteira-base:bookworm-3"
MIRRORS = (
    "deb http://deb.debian.org/debian bookworm main",
    "deb http://deb.debian.org/debian-security bookworm-security main",
)
PACKAGES = "python3,python3-venv,ca-certificates,usr-is-merged"
MERGED = "--hook-dir=/usr/share/mmdebstrap/hooks/maybe-merged-usr"
"""Otherwise `usrmerge` is installed, and Perl with it."""
UNREAD = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*")
"""Files that Debian's slim images omit, too."""
NEEDED = ("podman", "runc", "mmdebstrap", "iptables", "catatonit")
CERTIFICATES = ("/etc/ssl/certs", "/usr/share/ca-certificates", "/usr/local/share/ca-certificates")
MISSING = [
    *([] if os.getuid() == 0 else ["root"]),
    *(
        name
        for name in NEEDED
        if not shutil.which(name, path="/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin")
    ),
    *([] if (TOOLS / "docker-compose").exists() else ["Docker Compose"]),
]
STANDIN_IMAGES = {
    "postgres": "POSTGRES_IMAGE",
    "valkey": "VALKEY_IMAGE",
    "mail": "MAILPIT_IMAGE",
    "prometheus": "PROMETHEUS_IMAGE",
    "alertmanager": "ALERTMANAGER_IMAGE",
    "caddy": "CADDY_IMAGE",
}


@dataclass
class Podman:
    """A podman of the test's own.

    Attributes:
        folder: Its configuration and socket.
    """

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Write its configuration: no limit is raised, as a container may not do so here, and runc runs."""
        (self.folder / "containers.conf").write_text(
            "[containers]\n"
            'default_ulimits = ["nofile=10000:10000", "nproc=4096:4096"]\n'
            "[engine]\n"
            'runtime = "runc"\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n'
            f'[network]\nnetwork_config_dir = "{self.folder}/networks"\n'
        )
        (self.folder / "storage.conf").write_text(
            f'[storage]\ndriver = "overlay"\ngraphroot = "{STORAGE}"\nrunroot = "{RUN}"\n'
        )
        self.environment = {
            **os.environ,
            "CONTAINERS_CONF": str(self.folder / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(self.folder / "storage.conf"),
            "IMAGE_FLAGS": " ".join(build_flags()),
            **{variable: f"localhost/standin-{name}" for name, variable in STANDIN_IMAGES.items()},
        }

    def __call__(self, *arguments: str, seconds: float = 120, check: bool = True) -> str:
        """Run `podman` with arguments; return its output."""
        done = subprocess.run(
            ["podman", *arguments],
            env=self.environment | {"BUILDAH_FORMAT": "docker"},  # podman's own form of images has no health check
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        assert done.returncode == 0 or not check, (
            f"podman {' '.join(arguments)}: {done.stdout[-3000:]}{done.stderr[-3000:]}"
        )
        return done.stdout.strip()

    def has(self, image: str) -> bool:
        """Return whether an image exists."""
        return bool(self("images", "--quiet", image))

    def make_base(self) -> None:
        """Make the base image of Debian's packages, unless it exists."""
        if self.has(BASE):
            return
        tar = self.folder / "base.tar"
        excludes = [f"--dpkgopt=path-exclude={pattern}" for pattern in UNREAD]
        command = [
            "mmdebstrap",
            "--quiet",
            "--variant=minbase",
            MERGED,
            f"--include={PACKAGES}",
            *excludes,
            "bookworm",
            str(tar),
        ]
        subprocess.run([*command, *MIRRORS], check=True, timeout=600)
        self("import", str(tar), BASE, seconds=300)
        tar.unlink()

    def make_images(self) -> None:
        """Build both images as `make image` does."""
        self.make_base()
        subprocess.run(["make", "-s", "image"], cwd=ROOT, env=self.environment, check=True, timeout=900)

    def make_standins(self, *names: str) -> None:
        """Build the stand-ins for the images of compose.yaml."""
        arguments = ("--build-arg", f"BASE={BASE}", "--build-arg", "TRIAL=localhost/carteira")
        for name in names or STANDIN_IMAGES:
            target = ("--target", name, "-t", f"localhost/standin-{name}")
            self("build", "--network=host", *arguments, *target, str(STANDINS), seconds=600)

    def run_health_checks(self, stop: threading.Event) -> None:
        """Run the health check of each container again and again, as systemd's timers would."""
        while not stop.is_set():
            for name in self("ps", "--quiet", check=False).split():
                self("healthcheck", "run", name, check=False)
            stop.wait(0.5)

    def remove_all(self) -> None:
        """Stop and remove all containers; images stay, so that the next run builds only what changed."""
        self("rm", "--all", "--force", "--time", "5", "--volumes", check=False)
        self("volume", "prune", "--force", check=False)
        self("network", "prune", "--force", check=False)


def build_flags() -> list[str]:
    """Return the flags for a build here: with this machine's network, authorities and mirrors, none of them kept."""
    flags = ["--network=host", f"--build-arg=BASE={BASE}"]
    flags += [f"--volume={folder}:{folder}:ro" for folder in CERTIFICATES if Path(folder).is_dir()]
    if Path("/etc/pip.conf").exists():
        flags.append("--secret=id=pip.conf,src=/etc/pip.conf")
    if authorities := os.environ.get("PIP_CERT"):
        flags.append(f"--secret=id=authorities,src={authorities}")
    return flags


@contextmanager
def running_podman() -> Iterator[Podman]:
    """Run podman's service and health checks until the end of the block; then stop all of it."""
    folder = Path(tempfile.mkdtemp(prefix="carteira-podman-"))
    podman = Podman(folder)
    socket, stop = SOCKET, threading.Event()
    # A podman's service that is there is of this machine or of another test; Docker's would answer before this one.
    if socket.exists() or shutil.which("docker"):
        socket = folder / "podman.sock"
        podman.environment["DOCKER_HOST"] = f"unix://{socket}"
    socket.parent.mkdir(parents=True, exist_ok=True)
    service = subprocess.Popen(
        ["podman", "system", "service", "--time=0", f"unix://{socket}"],
        env=podman.environment,
        stderr=subprocess.DEVNULL,
    )
    checks = threading.Thread(target=podman.run_health_checks, args=(stop,))
    try:
        wait_until(socket.exists, "podman's socket")
        checks.start()
        yield podman
    finally:
        stop.set()
        if checks.is_alive():
            checks.join()
        podman.remove_all()
        service.terminate()
        service.wait(20)
        socket.unlink(missing_ok=True)
        with suppress(OSError):
            shutil.rmtree(folder, ignore_errors=True)
            shutil.rmtree(RUN, ignore_errors=True)
