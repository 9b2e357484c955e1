"""Settings as files, one each: how orchestrators hand secrets to a container, so that no environment shows them."""

import errno
import os
from pathlib import Path

from pydantic_settings import BaseSettings, SecretsSettingsSource

FOLDER = "SECRETS_FOLDER"
"""Names the folders; it is no setting, since the settings are read from it."""


def folders() -> list[Path]:
    """Return the folders of the files: those that are named, with a colon between.

    Raises:
        NotADirectoryError: one is not there.
    """
    named = [Path(name) for name in os.environ.get(FOLDER, "").split(os.pathsep) if name]
    for path in named:
        if not path.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))
    return named


def source(settings: type[BaseSettings]) -> SecretsSettingsSource:
    """Return what reads them: a file has the name of its setting, in any case, and its value.

    Raises:
        NotADirectoryError: a folder that is named is none.
    """
    return SecretsSettingsSource(settings, secrets_dir=[*folders()])


def names() -> list[str]:
    """Return the names of the files; none where no folder is named."""
    return [file.name for path in folders() for file in path.iterdir() if file.is_file()]
