"""The vault: one process's storage, master keys and scanner."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from uuid import UUID

from carteira.documents.errors import TooManyUploads
from carteira.documents.keys import MasterKeyRing
from carteira.documents.scanner import Scanner
from carteira.documents.service import HolderName
from carteira.documents.storage import Storage, opener
from carteira.kit.web.state import StateKey

MAX_UPLOADS_AT_ONCE = 4
"""The most concurrent uploads of a person in a process: each occupies the scanner and the storage while it lasts."""
_RETRY_SECONDS = 5


@dataclass
class Vault:
    """The storage, the master keys, the scanner, and the parts that proofs need. Each is opened at its first use."""

    url: str
    key_file: Path
    create_key: bool
    aws_endpoint_url: str | None
    holder_name: HolderName
    scanner: Scanner | None = None

    def __post_init__(self) -> None:
        self._open = opener(self.url, aws_endpoint_url=self.aws_endpoint_url)
        self._arriving: Counter[UUID] = Counter()

    @cached_property
    def storage(self) -> Storage:
        """The storage of sealed segments."""
        return self._open()

    @cached_property
    def ring(self) -> MasterKeyRing:
        """The master keys."""
        return MasterKeyRing(self.key_file, create=self.create_key)

    @contextmanager
    def arriving(self, owner_id: UUID) -> Iterator[None]:
        """Count a person's upload while it lasts.

        Raises:
            TooManyUploads: they have as many uploads already.
        """
        if self._arriving[owner_id] >= MAX_UPLOADS_AT_ONCE:
            raise TooManyUploads(_RETRY_SECONDS)
        self._arriving[owner_id] += 1
        try:
            yield
        finally:
            self._arriving[owner_id] -= 1
            if not self._arriving[owner_id]:
                del self._arriving[owner_id]

    def prepare(self) -> None:
        """Open storage and keys now, so that a wrong setting is reported at the start."""
        _ = self.storage, self.ring.keys()


VAULT = StateKey[Vault]("documents")
