"""The nightly backup, in a process of its own, since compression and encryption would delay the worker."""

import asyncio
import sys

import structlog
from procrastinate import Blueprint, JobContext

from carteira.backup.errors import BackupFailed
from carteira.settings import Settings

blueprint = Blueprint()
log = structlog.get_logger(__name__)


@blueprint.periodic(cron="0 5 * * *")  # 2:00 in São Paulo
@blueprint.task(name="make", queueing_lock="backup.make", pass_context=True)
async def make(context: JobContext, timestamp: int) -> None:
    """Make a backup and remove expired ones, if backups are configured.

    Raises:
        BackupFailed: it could not be made; the text is the command's.
    """
    settings: Settings = context.additional_context["settings"]
    if settings.backup_url is None:
        return
    making = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "carteira", "backup", "create", "--prune"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        _, said = await making.communicate()
    except asyncio.CancelledError:
        making.terminate()  # the next run continues from its complete parts
        await making.wait()
        raise
    if making.returncode:
        raise BackupFailed(said.decode(errors="replace").strip()[-500:])
