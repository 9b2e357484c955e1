"""`make migration m="…"`: the next migration, from how the tables differ from a database at the last one."""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from alembic import command
from alembic.script import Script, ScriptDirectory

from carteira import schema
from carteira.embedded import EmbeddedServers


def next_revision() -> str:
    """Return the number after the last migration's."""
    head = ScriptDirectory.from_config(schema.alembic_config()).get_current_head()
    return f"{int(head or 0) + 1:04}"


def write_migration(url: str, message: str) -> Path:
    """Migrate the database to the last revision and write the next one, which a person must read and complete."""
    schema.migrate(url)
    config = schema.alembic_config(url)
    config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
    config.set_main_option("truncate_slug_length", "40")
    made = command.revision(config, message, autogenerate=True, rev_id=next_revision())
    assert isinstance(made, Script)
    path = Path(made.path)
    ruff = Path(sys.executable).with_name("ruff")
    for step in (["check", "--fix", "--quiet", "--exit-zero"], ["format", "--quiet"]):
        subprocess.run([ruff, *step, path], check=True)  # noqa: S603 - our own arguments
    return path


def main() -> None:
    """Write the migration against a temporary database."""
    message = re.sub(r"\s+", " ", " ".join(sys.argv[1:])).strip().rstrip(".")
    if not message:
        sys.exit('Say what it does: make migration m="benefits: a purchase has a tip"')
    with tempfile.TemporaryDirectory(prefix="carteira-migration-") as folder:
        servers = EmbeddedServers(Path(folder), redis=False, aws=False, mail=False)
        with servers:
            path = write_migration(str(servers.endpoints.owner_url), message)
    print(path)  # noqa: T201 - the path to open next


if __name__ == "__main__":
    main()
