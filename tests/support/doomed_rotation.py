"""A rotation of keys that dies at a chosen point: `kill -9`, after a statement, at a commit, at a file.

`python -m tests.support.doomed_rotation identity|tokens FILE [DATABASE_URL]`. The process reads from its input at which
point the next rotation dies (0: at none) and whether it draws a key (`new`) or resumes (`old`), and writes how it
ended: 0, or -9.
"""

import asyncio
import os
import sys
from pathlib import Path

from sqlalchemy import event

from carteira import identity
from carteira.identity.signin import sealing_keys
from carteira.kit.db.engine import open_database
from carteira.kit.ops import log
from carteira.kit.security import tokens
from carteira.kit.security.sealing import Sealer
from tests.support.doomed_worker import Points


async def rotate_identity(path: Path, url: str, points: Points, *, new: bool) -> None:
    async with open_database(url) as database:
        for name in ("after_cursor_execute", "commit"):
            event.listen(database.engine.sync_engine, name, lambda *_args: points.reach())
        await identity.rotate_sealing_key(database, Sealer(path), add_key=new)


def main() -> None:
    ring, path, *url = sys.argv[1:]
    log.configure(level="error", form="json")
    sealing_keys._BATCH = 1  # noqa: SLF001 - one transaction per secret
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            fatal, how = line.split()
            points = Points(int(fatal))
            sys.addaudithook(points.audit)
            if ring == "identity":
                asyncio.run(rotate_identity(Path(path), url[0], points, new=how == "new"))
            else:
                tokens.rotate(Path(path))
            os._exit(0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
