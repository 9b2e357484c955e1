"""Settings as files, one each: how orchestrators hand secrets to a container, so that no environment shows them."""

import errno
import os
from pathlib import Path

from pydantic_settings import BaseSettings, SecretsSettingsSource

FOLDER = "SECRETS_FOLDER"
"""Names the folder; it is no setting, since the settings are read from it."""


def folder() -> Path | None:
    """Return the folder of the files, if one is named.

    Raises:
        NotADirectoryError: there is none.
    """
    named = os.environ.get(FOLDER)
    if not named:
        return None
    path = Path(named)
    if not path.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), named)
    return path


def source(settings: type[BaseSettings]) -> SecretsSettingsSource:
    """Return what reads them: a file has the name of its setting, in any case, and its value.

    Raises:
        NotADirectoryError: the folder that is named is none.
    """
    return SecretsSettingsSource(settings, secrets_dir=folder())


def names() -> list[str]:
    """Return the names of the files; none where no folder is named."""
    path = folder()
    return [] if path is None else [file.name for file in path.iterdir() if file.is_file()]
