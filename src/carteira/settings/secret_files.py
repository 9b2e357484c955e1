"""Settings as files, one each: the way in which orchestrators pass secrets to a container, without its environment."""

import errno
import os
from pathlib import Path

from pydantic_settings import BaseSettings, SecretsSettingsSource

FOLDER = "SECRETS_FOLDER"
"""The variable with the folders; it is no setting itself, since the settings are read from these folders."""


def folders() -> list[Path]:
    """Return the folders of the files, which are separated by colons.

    Raises:
        NotADirectoryError: one does not exist.
    """
    named = [Path(name) for name in os.environ.get(FOLDER, "").split(os.pathsep) if name]
    for path in named:
        if not path.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))
    return named


def source(settings: type[BaseSettings]) -> SecretsSettingsSource:
    """Return the source of settings: each file has a setting's name, in any case, and its value.

    Raises:
        NotADirectoryError: one of the folders does not exist.
    """
    return SecretsSettingsSource(settings, secrets_dir=[*folders()])


def names() -> list[str]:
    """Return the names of the files; none where no folder is named."""
    return [file.name for path in folders() for file in path.iterdir() if file.is_file()]
