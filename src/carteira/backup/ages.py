"""Ages of what lies outside of the database, for the console: keys, and the newest complete backup."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from carteira import key_rings, web
from carteira.backup import place
from carteira.backup.config import BackupConfig
from carteira.backup.errors import BackupDamaged
from carteira.backup.place import Manifest
from carteira.kit.outbound.objects import ObjectsDown
from carteira.kit.values.clock import clock
from carteira.settings import Settings

OLD_BACKUP = timedelta(hours=26)
_FAST_CLOCK = timedelta(hours=1)
OLD_KEY, OLD_TOKENS_KEY = timedelta(days=731), timedelta(days=366)
"""The longest use of a key (`docs/reference/cryptography.md`)."""
_SECONDS = 5.0
_NAMES = {
    "tokens": "Chave que assina as sessões",
    "identity": "Chave do cadastro",
    "documents": "Chave dos documentos",
    "credit": "Chave do crédito",
}


def of_keys(settings: Settings) -> list[web.HouseAge]:
    """Return the age of each ring's active key, and the fault of its file."""
    found = []
    for ring in key_rings.rings_on(settings):
        what, path = _NAMES[ring.name], ring.path(settings)
        if not path.exists() and settings.environment == "development":
            continue  # made at the first start
        fault = key_rings.fault_of(path, ring.look)
        if fault is not None:
            found.append(web.HouseAge(what, None, "bad", "com defeito", fault))
            continue
        look = ring.look(path)
        most = OLD_TOKENS_KEY if ring.name == "tokens" else OLD_KEY
        advice = f"carteira keys rotate {ring.name}"
        if look.waiting is not None:
            found.append(web.HouseAge(what, look.since, "warn", "uma nova espera", advice))
        elif clock.now() - look.since > most:
            found.append(web.HouseAge(what, look.since, "warn", "velha", advice))
        else:
            found.append(web.HouseAge(what, look.since, "ok", "em uso"))
    return found


def is_late(newest: Manifest) -> bool:
    """Return whether a newer backup should exist: this one is old, or a wrong clock dated it in the future."""
    age = clock.now() - newest.made_at
    return not -_FAST_CLOCK <= age <= OLD_BACKUP


async def of_backup(settings: Settings, config: BackupConfig) -> web.HouseAge:
    """Return the age of the newest complete backup, or that the place does not answer."""
    what = "Backup inteiro mais novo"
    if settings.backup_url is None:
        is_fine = settings.environment == "development"
        return web.HouseAge(what, None, "ok" if is_fine else "warn", "nenhum é feito", "BACKUP_URL não está definida")
    try:
        newest = await asyncio.wait_for(place.manifest_of(config.place, None), _SECONDS)
    except BackupDamaged:
        return web.HouseAge(what, None, "bad", "não há", "carteira backup create, e veja o worker")
    except (ObjectsDown, TimeoutError):
        return web.HouseAge(what, None, "bad", "o lugar não responde", "carteira doctor diz por quê")
    is_old = is_late(newest)
    advice = "carteira backup create, e veja o worker" if is_old else ""
    return web.HouseAge(
        what,
        newest.made_at,
        "bad" if is_old else "ok",
        "com data errada" if newest.made_at > clock.now() else "velho" if is_old else "em dia",
        advice,
    )


async def ages(settings: Settings, config: BackupConfig) -> Sequence[web.HouseAge]:
    """Return the ages of keys and of the newest backup."""
    keys, backup = await asyncio.gather(asyncio.to_thread(of_keys, settings), of_backup(settings, config))
    return [*keys, backup]
