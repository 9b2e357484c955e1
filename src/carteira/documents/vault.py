"""The vault: where the files lie and what opens them, as one process holds it."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from carteira.documents.keys import MasterKeyRing
from carteira.documents.scanner import Scanner
from carteira.documents.service import HolderName
from carteira.documents.storage import Storage, opener


@dataclass
class Vault:
    """Storage, master keys, the scanner, and what proofs need. Nothing is touched before its first use."""

    url: str
    key_file: Path
    create_key: bool
    aws_endpoint_url: str | None
    holder_name: HolderName
    scanner: Scanner | None = None

    def __post_init__(self) -> None:
        self._open = opener(self.url, aws_endpoint_url=self.aws_endpoint_url)

    @cached_property
    def storage(self) -> Storage:
        """Where sealed segments lie."""
        return self._open()

    @cached_property
    def ring(self) -> MasterKeyRing:
        """The master keys."""
        return MasterKeyRing(self.key_file, create=self.create_key)

    def prepare(self) -> None:
        """Open both now, so that a wrong setting is told of at the start."""
        _ = self.storage, self.ring.keys()
