"""Errors of backups and restores; each text says what to do, in Portuguese.

Indentation shows inheritance:

    Exception
      BackupFailed
        BackupDamaged
"""


class BackupFailed(Exception):
    """A backup or a restore cannot go on."""


class BackupDamaged(BackupFailed):
    """A part of a backup is missing, or is not what its manifest says."""
