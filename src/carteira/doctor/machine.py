"""Checks the machine: Python, the system, folders and their space, the limit of open files, and time zone data."""

import os
import resource
import shutil
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from carteira.doctor.findings import Diagnosis, fail, ok, warn
from carteira.kit.ops.private_files import others_may
from carteira.settings import Settings

AREA = "máquina"
ZONE = "America/Sao_Paulo"
OFFSETS = {datetime(2018, 1, 15, 12, tzinfo=UTC): -2, datetime(2026, 1, 15, 12, tzinfo=UTC): -3}
"""Instants and São Paulo's offset from UTC in hours then: in the last summer time, and since."""
_MIB = 1_048_576
_LITTLE, _NONE = 2_048 * _MIB, 256 * _MIB
_SPARE_FILES = 1_024


def check(settings: Settings) -> Iterator[Diagnosis]:
    """Make all checks of the machine."""
    yield _system()
    yield _zone_data()
    yield from _home(settings.carteira_home)
    yield _files(settings)
    yield from _dot_env(settings)


def _system() -> Diagnosis:
    python = ".".join(map(str, sys.version_info[:3]))
    if not sys.platform.startswith("linux"):
        return warn(AREA, f"Python {python} em {sys.platform}", "em produção use Linux, onde a Carteira é testada")
    return ok(AREA, f"Python {python} em Linux ({os.uname().machine})")


def _zone_data() -> Diagnosis:
    try:
        zone = ZoneInfo(ZONE)
    except ZoneInfoNotFoundError:
        return fail(AREA, f"não há dados do fuso horário {ZONE}", "instale o pacote tzdata")
    wrong = [
        instant for instant, hours in OFFSETS.items() if instant.astimezone(zone).utcoffset() != timedelta(hours=hours)
    ]
    if wrong:
        return fail(AREA, f"os dados do fuso horário {ZONE} são antigos ou errados", "atualize o pacote tzdata")
    return ok(AREA, f"dados do fuso horário {ZONE}")


def _home(home: Path) -> Iterator[Diagnosis]:
    present = next(folder for folder in (home, *home.parents) if folder.exists())
    if not os.access(present, os.W_OK | os.X_OK):
        yield fail(AREA, f"{home}: não pode ser escrita", "dê a pasta ao usuário do servidor, ou defina CARTEIRA_HOME")
        return
    if home.exists() and others_may(home) is not None:
        yield warn(AREA, f"{home}: aberta a outros usuários", f"execute chmod 700 {home}")
    yield space_in(AREA, present)


def space_in(area: str, folder: Path) -> Diagnosis:
    """Check how much space is left in a folder."""
    free = shutil.disk_usage(folder).free
    text = f"{folder}: {free // _MIB:,} MiB livres".replace(",", ".")
    if free < _NONE:
        return fail(area, text, "libere espaço agora: arquivos e bancos locais param de gravar")
    return warn(area, text, "libere espaço") if free < _LITTLE else ok(area, text)


def _files(settings: Settings) -> Diagnosis:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = settings.max_connections + _SPARE_FILES
    if most not in {-1, resource.RLIM_INFINITY} and most < wanted:
        return warn(
            AREA,
            f"um processo abre {most} arquivos, e MAX_CONNECTIONS pede {wanted}",
            f"aumente o limite (LimitNOFILE={wanted} no systemd, ulimit -Hn) ou diminua MAX_CONNECTIONS",
        )
    return ok(AREA, "limite de arquivos abertos")


def _dot_env(settings: Settings) -> Iterator[Diagnosis]:
    path = Path(".env").absolute()
    if not path.exists():
        return
    exposed = others_may(path)
    if exposed is None:
        yield ok(AREA, f"{path}")
        return
    finding = warn if settings.environment == "development" else fail
    yield finding(AREA, f"{path}: guarda segredos e está aberto a outros usuários", f"execute chmod 600 {path}")
