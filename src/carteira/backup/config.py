"""The settings of backups."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from carteira import credit, documents
from carteira.backup.errors import BackupFailed
from carteira.backup.programs import Programs
from carteira.kit.db.address import DatabaseAddress
from carteira.kit.outbound import objects
from carteira.kit.outbound.objects import ObjectStore
from carteira.kit.security.age import Recipients
from carteira.settings import Settings


@dataclass(frozen=True)
class BackupConfig:
    """The place of backups, their recipients, and their sources."""

    settings: Settings
    credit: credit.CreditConfig | None
    """The settings of base B; None: the module is off."""
    opened: ObjectStore | None = None
    """The place, for callers whose settings do not name it."""

    @cached_property
    def place(self) -> ObjectStore:
        """The place of the backups.

        Raises:
            BackupFailed: the settings do not name it.
        """
        return self.opened or self._open(self.settings.backup_url, "BACKUP_URL")()

    @cached_property
    def documents(self) -> ObjectStore | None:
        """The documents' storage; None: the module is off."""
        if "documents" not in self.settings.modules:
            return None
        url = self.settings.documents_url or documents.folder_in(self.settings.carteira_home).as_uri()
        return self._open(url, "DOCUMENTS_URL")()

    def _open(self, url: str | None, name: str) -> Callable[[], ObjectStore]:
        if url is None:
            raise BackupFailed(f"{name} não está definida")
        return objects.opener(url, aws_endpoint_url=self.settings.aws_endpoint_url)

    @property
    def recipients(self) -> Recipients:
        """The recipients of backups."""
        if self.settings.backup_recipients is None:
            raise BackupFailed("BACKUP_RECIPIENTS não está definida: execute `carteira backup key`")
        return Recipients.parse(self.settings.backup_recipients)

    @cached_property
    def address(self) -> DatabaseAddress:
        """PostgreSQL's address, as the role that makes backups."""
        url = self.settings.backup_database_url
        if url is None:
            raise BackupFailed("BACKUP_DATABASE_URL não está definida (um usuário com REPLICATION que lê tudo)")
        return DatabaseAddress.parse(url.get_secret_value())

    @property
    def programs(self) -> Programs:
        """PostgreSQL's programs, for its server."""
        return Programs(self.address, self.settings.backup_programs)

    @property
    def is_physical(self) -> bool:
        """Whether base backups and the log are kept."""
        return self.settings.backup_form != "logical"

    @property
    def is_logical(self) -> bool:
        """Whether dumps are kept."""
        return self.settings.backup_form != "physical"

    @property
    def spool(self) -> Path:
        """The folder of the log until it is in the place."""
        return self.settings.carteira_home / "backup" / "wal"
