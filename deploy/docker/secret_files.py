"""Write what an orchestrator hands over in the environment as files, and leave: ECS gives secrets in no other way.

It runs in a container of its own before the server's, on the same volume, so that the server's environment shows no
secret (`SECRETS_FOLDER=/data/secrets`). Of the environment it reads:

    FILE_JWT_SECRET      the file secrets/jwt_secret, as it is
    URL_DATABASE_URL     the file secrets/database_url; `{NAME}` in it is the variable NAME, percent-encoded
    SETTINGS             a JSON object: further settings by their names, of any kind
    KEYS                 a JSON object: the files of keys/ by their names

An empty variable makes no file. It also makes the folder tmp, for a root that is only read (`TMPDIR=/data/tmp`).
"""

import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

PLACE = re.compile(r"\{([A-Z_]+)\}")
SETTING, FILE = re.compile(r"[A-Z][A-Z0-9_]*"), re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def of_object(environment: Mapping[str, str], variable: str, form: re.Pattern[str]) -> dict[str, str]:
    """Return the JSON object of a variable; of one that is not there, or empty, an empty one.

    Raises:
        ValueError: it is no object of texts by names of that form; the text never shows what it holds.
    """
    try:
        found = json.loads(environment.get(variable) or "{}")
    except json.JSONDecodeError:
        found = None
    if not isinstance(found, dict):
        raise ValueError(f"{variable} is no JSON object")  # noqa: TRY004 - a text that is wrong, like the others
    for name, value in found.items():
        if not form.fullmatch(name) or not isinstance(value, str):
            raise ValueError(f"{variable}: {name!r} is no name that it may have, or has no text")
    return found


def files_of(environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Return each file's path below the folder, and its content.

    Raises:
        ValueError: an address names a variable that is not there, or an object is none.
    """
    for name, value in of_object(environment, "SETTINGS", SETTING).items():
        yield f"secrets/{name.lower()}", value
    for name, value in of_object(environment, "KEYS", FILE).items():
        yield f"keys/{name}", value
    for name, value in environment.items():
        kind, _, setting = name.partition("_")
        if kind == "FILE" and value:
            yield f"secrets/{setting.lower()}", value
        elif kind == "URL" and value:
            if missing := [place for place in PLACE.findall(value) if not environment.get(place)]:
                raise ValueError(f"{name} names {missing[0]}, which is not in the environment")
            yield f"secrets/{setting.lower()}", PLACE.sub(lambda found: quote(environment[found[1]], safe=""), value)


def main(folder: Path, environment: Mapping[str, str]) -> int:
    """Write them all, for their owner alone; return 1, and write nothing, if something is wrong."""
    os.umask(0o077)
    try:
        files = dict(files_of(environment))
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    for name in ("secrets", "keys", "tmp"):
        (folder / name).mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name).write_text(content)
    sys.stderr.write(f"{len(files)} files: {' '.join(sorted(files))}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), os.environ))
