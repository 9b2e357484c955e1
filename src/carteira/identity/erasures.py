"""The journal of erasures. It is kept outside of the database, so that erasures can be repeated in a restored one.

An erasure writes its *intent* before its commit and *confirmed* after it, both before the answer. An entry holds the
person's id, which is only a pseudonym after the erasure. It also holds the ids and keyed hashes under which the modules
kept the person, encrypted to the backups' public key. It holds no name and no CPF.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any
from uuid import UUID

import orjson

from carteira.identity.errors import ErasureJournalDown
from carteira.kit.outbound.objects import ObjectsDown, ObjectStore
from carteira.kit.security.age import CannotOpen, PrivateKey, Recipients
from carteira.kit.values.clock import clock
from carteira.kit.values.ids import made_at, uuid7

FOLDER = "erasures"
_INTENT, _CONFIRMED = ".intent", ".confirmed"


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """An erasure that was begun, and whether it is known to be committed."""

    user_id: UUID
    id: UUID
    confirmed: bool

    @property
    def begun_at(self) -> datetime:
        """The instant at which it was begun."""
        return datetime.fromtimestamp(made_at(self.id), tz=clock.now().tzinfo)

    def name(self, kind: str) -> str:
        """Return the name of the object that stores the entry's intent or its confirmation."""
        return f"{FOLDER}/{self.user_id}/{self.id}{kind}"


class ErasureJournal:
    """The journal, in a folder or a bucket."""

    def __init__(self, store: ObjectStore, recipients: Recipients) -> None:
        self._store = store
        self._recipients = recipients

    async def intend(self, user_id: UUID, traces: Mapping[str, Any]) -> JournalEntry:
        """Record that a person is about to be erased, with the modules' traces of them.

        Raises:
            ErasureJournalDown: it could not be written.
        """
        entry = JournalEntry(user_id, uuid7(), confirmed=False)
        sealed = self._recipients.encrypt(orjson.dumps({"user_id": str(user_id), "traces": traces}))
        await self._put(entry.name(_INTENT), sealed)
        return entry

    async def confirm(self, entry: JournalEntry) -> None:
        """Record that a person was erased.

        Raises:
            ErasureJournalDown: it could not be written.
        """
        await self._put(entry.name(_CONFIRMED), orjson.dumps({"at": clock.now()}))

    async def _put(self, name: str, content: bytes) -> None:
        try:
            await self._store.put(name, content)
        except ObjectsDown as error:
            raise ErasureJournalDown from error

    async def entries(self) -> list[JournalEntry]:
        """Return all entries, oldest first.

        Raises:
            ErasureJournalDown: it cannot be read.
        """
        kinds: dict[tuple[UUID, UUID], set[str]] = {}
        try:
            async for found in self._store.entries(f"{FOLDER}/"):
                path = PurePosixPath(found.name)
                if path.suffix in {_INTENT, _CONFIRMED}:
                    kinds.setdefault((UUID(path.parent.name), UUID(path.stem)), set()).add(path.suffix)
        except ObjectsDown as error:
            raise ErasureJournalDown from error
        entries = (JournalEntry(user_id, id_, _CONFIRMED in found) for (user_id, id_), found in kinds.items())
        return sorted(entries, key=lambda entry: entry.id)

    async def traces_of(self, entry: JournalEntry, key: PrivateKey) -> Mapping[str, Any]:
        """Return the modules' traces of a person.

        Raises:
            ErasureJournalDown: it cannot be read.
            CannotOpen: it was encrypted to another key, or was changed.
        """
        try:
            sealed = await self._store.get(entry.name(_INTENT))
        except (ObjectsDown, FileNotFoundError) as error:
            raise ErasureJournalDown from error
        body = orjson.loads(key.decrypt(sealed))
        if body["user_id"] != str(entry.user_id):
            raise CannotOpen("the entry is another person's")
        traces: Mapping[str, Any] = body["traces"]
        return traces
