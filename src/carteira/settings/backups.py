"""The settings of backups and of the journal of erasures; a part of `Settings`, in a file of its own."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings

from carteira.settings import rules


class BackupSettings(BaseSettings):
    """The place of backups and of the journal of erasures, and their recipients."""

    backup_url: str | None = Field(
        None, description="Place of the backups: `file:///folder` or `s3://bucket/prefix`; empty: no backups."
    )
    backup_recipients: str | None = Field(
        None,
        description="Public keys (`age1…`), comma-separated, for the encryption of backups and of the journal of "
        "erasures; keep the private key away from the servers.",
    )
    backup_database_url: SecretStr | None = Field(
        None, description="PostgreSQL as a role that may replicate and read every table, for backups only."
    )
    backup_form: Literal["both", "physical", "logical"] = Field(
        "both",
        description="Form of PostgreSQL's backup: `physical` (base backup and WAL), `logical` (a dump, for other "
        "versions) or `both`.",
    )
    backup_days: int = Field(
        30, ge=1, le=3650, description="Days that backups are kept, with the WAL and documents that they need."
    )
    backup_wal_seconds: int = Field(
        60,
        ge=1,
        le=3600,
        description="Seconds between copies of incomplete WAL segments and new documents: the most that a disaster "
        "loses.",
    )
    backup_programs: Path | None = Field(
        None,
        description="Folder of PostgreSQL's programs (`pg_basebackup`, `pg_receivewal`, `pg_dump`); empty: the local "
        "servers', else those in `PATH`.",
    )
    erasure_journal_url: str | None = Field(
        None,
        description="Place of the journal of people's erasures, outside the database, so that a restore undoes "
        "none of them: `file:///folder` or `s3://bucket/prefix`; production requires it with `BACKUP_URL`.",
    )

    @field_validator("backup_url", "erasure_journal_url")
    @classmethod
    def _place(cls, url: str | None) -> str | None:
        return url and rules.storage(url)

    @field_validator("backup_recipients")
    @classmethod
    def _public_keys(cls, text: str | None) -> str | None:
        return text and rules.public_keys(text)

    @model_validator(mode="after")
    def _backups_are_whole(self) -> Self:
        if wrong := list(rules.backup_faults(self.backup_url, self.erasure_journal_url, self.backup_recipients)):
            raise ValueError("; ".join(wrong))
        return self
