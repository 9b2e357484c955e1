"""The place of the backups, and its layout.

sets/<instant>/manifest.json            a complete backup; what its manifest does not name does not count
sets/<instant>/<part>/0000, 0001, …     its streams: gzip, then age, cut into pieces
objects/<version>/<segment>             documents' segments, sealed as in their storage; shared by all backups
wal/<cluster>/<segment>, ….partial      PostgreSQL's log, each file gzip and age
carteira-backups                        in a folder, the mark that its disk is there (`backup.mounts`)
"""

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from carteira.backup.errors import BackupDamaged
from carteira.kit.outbound.objects import ObjectEntry, ObjectStore
from carteira.kit.values.clock import clock

SETS, OBJECTS, WAL = "sets", "objects", "wal"
MANIFEST = "manifest.json"
_DEPTH = 3
"""The number of names in a manifest's path."""
FORMAT = 2
"""Manifests are signed since 2 (`backup.signing`)."""
_FORMATS = {1, FORMAT}
PIECE_BYTES = 32 << 20
_PER_LOG = 0x1_0000_0000
_NAME = "%Y%m%dT%H%M%S%fZ"
_SET = re.compile(r"\d{8}T\d{12}Z")


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of a stream, as the place stores it."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Part:
    """A stream of a backup."""

    pieces: list[Piece]
    clear_bytes: int
    """Its size in bytes before compression."""

    @property
    def size(self) -> int:
        """Its size in the place, in bytes."""
        return sum(piece.size for piece in self.pieces)


@dataclass
class Manifest:
    """The contents of a backup."""

    id: str
    began_at: str
    ended_at: str
    release: str
    revision: str
    """The last migration."""
    postgresql: str
    """The server's version."""
    database: str
    """The names of the database and of its owner."""
    owner: str
    system_id: str
    """The cluster's identifier."""
    first_wal: str | None
    """The segment of the log at which a restore begins; none without a physical part."""
    segment_bytes: int = 16 << 20
    """The size of the log's segments, in bytes."""
    last_wal: str | None = None
    """The segment in which the physical part ends; it brings its own log up to there."""
    parts: dict[str, Part] = field(default_factory=dict)
    base_b_at: str | None = None
    """The instant up to which base B is complete."""
    objects: int = 0
    objects_bytes: int = 0
    heads: dict[str, str] = field(default_factory=dict)
    """The heads of the chains just before the backup, as `verify --expect` takes them."""
    objects_sha256: str = ""
    """The hash of the list of documents; none without documents."""
    signed_by: str = ""
    """The id of the key that signed it."""
    signature: str = ""
    format: int = FORMAT

    @property
    def size(self) -> int:
        """Its own size in the place in bytes, without documents and log."""
        return sum(part.size for part in self.parts.values())

    @property
    def made_at(self) -> datetime:
        """The time of its completion."""
        return datetime.fromisoformat(self.ended_at)

    def to_json(self) -> bytes:
        """Return its file's content."""
        return orjson.dumps(asdict(self), option=orjson.OPT_INDENT_2)

    def signed_content(self) -> bytes:
        """Return the signed content: everything but the signature, in a canonical order."""
        fields = {name: value for name, value in asdict(self).items() if name != "signature"}
        return orjson.dumps(fields, option=orjson.OPT_SORT_KEYS)

    @classmethod
    def from_json(cls, content: bytes) -> "Manifest":
        """Parse its file.

        Raises:
            BackupDamaged: it is none, or of a later release.
        """
        try:
            fields: dict[str, Any] = orjson.loads(content)
            if fields["format"] not in _FORMATS:
                raise BackupDamaged(f"o backup {fields['id']} é de uma versão mais nova da Carteira")
            parts = {
                name: Part([Piece(**piece) for piece in part["pieces"]], part["clear_bytes"])
                for name, part in fields.pop("parts").items()
            }
            return cls(parts=parts, **fields)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise BackupDamaged("o manifesto de um backup não pode ser lido") from error


def new_id() -> str:
    """Return the name of a backup that begins now."""
    return clock.now().astimezone(UTC).strftime(_NAME)


def is_set(name: str) -> bool:
    """Return whether an object's path is in a backup's folder, and not in somebody's folder beside them."""
    return _SET.fullmatch(name.split("/")[1]) is not None


def began_at(set_id: str) -> datetime:
    """Return the instant at which a backup began, from its name."""
    return datetime.strptime(set_id, _NAME).replace(tzinfo=UTC)


async def manifests(store: ObjectStore) -> list[Manifest]:
    """Return the complete backups, oldest first.

    Raises:
        ObjectsDown: the place does not answer.
        BackupDamaged: a manifest cannot be read.
    """
    return [await _manifest_in(store, set_id) for set_id in await _complete(store)]


async def manifest_of(store: ObjectStore, set_id: str | None) -> Manifest:
    """Return a backup, or the newest; others may be damaged.

    Raises:
        ObjectsDown: the place does not answer.
        BackupDamaged: there is none, or its manifest cannot be read.
    """
    found = [one for one in await _complete(store) if set_id in {None, one}]
    if not found:
        raise BackupDamaged(f"não há um backup completo{f' chamado {set_id}' if set_id else ''} neste lugar")
    return await _manifest_in(store, found[-1])


async def _complete(store: ObjectStore) -> list[str]:
    """Return the names of the backups that have a manifest, oldest first."""
    names = [entry.name.split("/") async for entry in store.entries(f"{SETS}/")]
    return sorted(parts[1] for parts in names if len(parts) == _DEPTH and parts[2] == MANIFEST)


async def _manifest_in(store: ObjectStore, set_id: str) -> Manifest:
    """Return the manifest in a backup's folder, which is this backup's and complete.

    A true manifest in another folder would make an old backup the newest; one of an unfinished backup is signed, too.
    """
    try:
        manifest = Manifest.from_json(await store.get(f"{SETS}/{set_id}/{MANIFEST}"))
    except (BackupDamaged, FileNotFoundError) as error:
        raise BackupDamaged(f"{SETS}/{set_id}: {error}") from error
    if manifest.id != set_id or not manifest.ended_at:
        raise BackupDamaged(f"{SETS}/{set_id}: o manifesto não é o de um backup completo desta pasta")
    return manifest


def log_name(system_id: str, name: str) -> str:
    """Return the path of a file of a cluster's log; other clusters have files of the same names."""
    return f"{WAL}/{system_id}/{name}"


def number(segment: str, segment_bytes: int) -> int:
    """Return how many segments of its size lie before one, on whichever timeline."""
    return int(segment[8:16], 16) * (_PER_LOG // segment_bytes) + int(segment[16:], 16)


async def segments(store: ObjectStore, system_id: str) -> dict[str, ObjectEntry]:
    """Return the segments of a cluster's log by name, an incomplete last one as `<segment>.partial`."""
    return {entry.name.rpartition("/")[2]: entry async for entry in store.entries(f"{WAL}/{system_id}/")}


async def stored_objects(store: ObjectStore) -> dict[str, int]:
    """Return the sizes of the documents' segments by name."""
    return {entry.name.removeprefix(f"{OBJECTS}/"): entry.size async for entry in store.entries(f"{OBJECTS}/")}


class PieceWriter:
    """Cuts a stream into pieces and stores them; for use in a thread, since it blocks."""

    def __init__(self, store: ObjectStore, folder: str, piece_bytes: int = PIECE_BYTES) -> None:
        self._store = store
        self._folder = folder
        self._piece_bytes = piece_bytes
        self._buffer = bytearray()
        self.pieces: list[Piece] = []

    def write(self, content: bytes) -> None:
        """Write more of the stream. Raises as `ObjectStore.put_now`."""
        self._buffer += content
        while len(self._buffer) >= self._piece_bytes:
            self._store_piece(bytes(self._buffer[: self._piece_bytes]))
            del self._buffer[: self._piece_bytes]

    def end(self) -> None:
        """Store the rest."""
        if self._buffer or not self.pieces:
            self._store_piece(bytes(self._buffer))
            self._buffer.clear()

    def _store_piece(self, content: bytes) -> None:
        name = f"{self._folder}/{len(self.pieces):04d}"
        self._store.put_now(name, content)
        self.pieces.append(Piece(name, len(content), hashlib.sha256(content).hexdigest()))


class PieceReader:
    """Reads a stream from its pieces, and checks each one's hash before using it; for a thread, since it blocks."""

    def __init__(
        self, store: ObjectStore, pieces: Sequence[Piece], report: Callable[[int], None] | None = None
    ) -> None:
        self._store = store
        self._pieces = iter(pieces)
        self._report = report or (lambda _size: None)
        self._left = memoryview(b"")
        """The unread rest of a piece; a view, since it is read in small parts."""

    def read(self, size: int, /) -> bytes:
        """Return the next bytes.

        Raises:
            BackupDamaged: a piece is missing or was changed.
            ObjectsDown: the place does not answer.
        """
        while not self._left:
            piece = next(self._pieces, None)
            if piece is None:
                return b""
            self._left = memoryview(checked(self._store, piece))
            self._report(piece.size)
        content, self._left = bytes(self._left[:size]), self._left[size:]
        return content


def checked(store: ObjectStore, piece: Piece) -> bytes:
    """Return a piece after checking its hash.

    Raises:
        BackupDamaged: it is missing or was changed.
        ObjectsDown: the place does not answer.
    """
    try:
        content = store.get_now(piece.name)
    except FileNotFoundError as error:
        raise BackupDamaged(f"falta {piece.name} no lugar dos backups") from error
    if hashlib.sha256(content).hexdigest() != piece.sha256:
        raise BackupDamaged(f"{piece.name} foi alterado no lugar dos backups")
    return content


def logged(store: ObjectStore, system_id: str, name: str) -> bytes:
    """Return a file of a cluster's log, encrypted.

    Raises:
        BackupDamaged: it is missing.
        ObjectsDown: the place does not answer.
    """
    try:
        return store.get_now(log_name(system_id, name))
    except FileNotFoundError as error:
        raise BackupDamaged(f"falta {log_name(system_id, name)} no lugar dos backups") from error


def is_recent(at: datetime, days: int) -> bool:
    """Return whether an instant is within the retention of backups."""
    return at > clock.now() - timedelta(days=days)


def too_old(set_id: str, days: int) -> bool:
    """Return whether a backup began before the retention of backups."""
    return not is_recent(began_at(set_id), days)
