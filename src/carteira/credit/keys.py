"""The keys of credit: a permanent one that hashes CPFs, and those that wrap the data keys of base A.

The key file is JSON that only its owner reads: `{"index": …, "active": "k1", "keys": {"k1": …}}`. From `index` every
keyed hash is derived (HKDF, one label a use), so that no store holds a CPF as a key and no two stores share a
pseudonym. `keys` are the key-encryption keys, of which `active` wraps what is written. With AWS KMS the active one is a
KMS key instead and the file keeps `index` (and former keys, until rotation has emptied them).
"""

import asyncio
import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from botocore.exceptions import BotoCoreError, ClientError
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from carteira.credit.aws import Aws
from carteira.credit.errors import KeyServiceDown, RecordUnreadable
from carteira.kit.ops.private_files import create_private_file, locked_folder, replace_private_file
from carteira.kit.security.key_ring import KeyWaits

log = structlog.get_logger(__name__)

KEY_BYTES = 32
NONCE_BYTES = 12
KMS_SECONDS = 3.0
"""The time for one call of KMS with its retries; after that it counts as down."""
KMS = "kms:"
"""The prefix of ids of key-encryption keys in AWS KMS."""


class KeyFileInvalid(ValueError):
    """The key file is invalid."""


@dataclass(frozen=True)
class KeyFile:
    """The content of the key file."""

    index: bytes
    active: str
    keys: Mapping[str, bytes]

    @property
    def waiting(self) -> str | None:
        """The waiting key, which is newer than the active one."""
        newest = max(self.keys, key=_number)
        return newest if _number(newest) > _number(self.active) else None


def _number(name: str) -> int:
    return int(name[1:]) if name[1:].isdigit() else 0


def read_key_file(path: Path) -> KeyFile:
    """Read the key file.

    Raises:
        KeyFileInvalid: it is not a key file, or a key is not 256 bits long.
    """
    try:
        content = json.loads(path.read_text())
        keys = {str(name): base64.b64decode(key, validate=True) for name, key in content["keys"].items()}
        file = KeyFile(base64.b64decode(content["index"], validate=True), str(content["active"]), keys)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise KeyFileInvalid(f"{path} is not a key file of credit") from error
    if any(len(key) != KEY_BYTES for key in (file.index, *keys.values())) or file.active not in keys:
        raise KeyFileInvalid(f"{path}: keys are 32 bytes in base64, and `active` names one of them")
    return file


def _content(file: KeyFile) -> bytes:
    content = {
        "index": base64.b64encode(file.index).decode(),
        "active": file.active,
        "keys": {name: base64.b64encode(key).decode() for name, key in file.keys.items()},
    }
    return json.dumps(content, indent=2).encode()


def create_key_file(path: Path) -> bool:
    """Make a key file with fresh keys unless it is there; return whether this call did."""
    fresh = KeyFile(secrets.token_bytes(KEY_BYTES), "k1", {"k1": secrets.token_bytes(KEY_BYTES)})
    return create_private_file(path, _content(fresh))


def load_or_create_key_file(path: Path) -> KeyFile:
    """Read the key file; make one if there is none (development). Raises as `read_key_file`."""
    if not path.exists():
        create_key_file(path)
    return read_key_file(path)


def prepare_key(path: Path) -> str:
    """Add a new key-encryption key to the file that unwraps but does not wrap yet; return its id.

    So the file can be copied to every machine before anything is wrapped with it. Raises as `read_key_file`.

    Raises:
        KeyWaits: there is a waiting key already.
    """
    with locked_folder(path.parent):
        file = read_key_file(path)
        if file.waiting is not None:
            raise KeyWaits(file.waiting)
        name, keys = _with_fresh_key(file)
        replace_private_file(path, _content(KeyFile(file.index, file.active, keys)))
    return name


def add_key(path: Path) -> str:
    """Activate the waiting key-encryption key, or else a new one; return its id.

    New records are wrapped with it; `rotate` rewraps earlier ones. Raises as `read_key_file`.
    """
    with locked_folder(path.parent):
        file = read_key_file(path)
        active, keys = (file.waiting, file.keys) if file.waiting is not None else _with_fresh_key(file)
        replace_private_file(path, _content(KeyFile(file.index, active, keys)))
    return active


def _with_fresh_key(file: KeyFile) -> tuple[str, Mapping[str, bytes]]:
    name = f"k{1 + max(map(_number, file.keys), default=0)}"
    return name, {**file.keys, name: secrets.token_bytes(KEY_BYTES)}


class Keyring:
    """The available keys. A changed key file is read at its next use, in every process, without a restart."""

    def __init__(
        self, path: Path, *, kms_key_id: str | None = None, aws: Aws | None = None, may_create: bool = False
    ) -> None:
        self.path = path
        self._may_create = may_create
        self.kms_key_id = kms_key_id
        self._aws = aws
        self._file: KeyFile | None = None
        self._stamp: tuple[int, ...] | None = None
        self._derived: dict[str, bytes] = {}

    @property
    def file(self) -> KeyFile:
        """The key file as it is now.

        Raises:
            KeyFileInvalid: it is not a key file, or there is none and none may be made.
        """
        if self._file is None and self._may_create:
            load_or_create_key_file(self.path)
        try:
            status = self.path.stat()
        except FileNotFoundError as error:
            raise KeyFileInvalid(f"{self.path} does not exist (CREDIT_KEY_FILE)") from error
        stamp = (status.st_mtime_ns, status.st_ino, status.st_size)
        if self._file is None or stamp != self._stamp:
            self._file, self._stamp = self._read(), stamp
            self._derived = {}
        return self._file

    def _read(self) -> KeyFile:
        """Read the file; while it is being replaced, use the former content."""
        try:
            return read_key_file(self.path)
        except (OSError, KeyFileInvalid) as error:
            if self._file is None:
                raise
            log.warning(
                "key file not read, former keys used",
                path=str(self.path),
                error=type(error).__name__,
                detail=str(error),
            )
            return self._file

    @property
    def active(self) -> str:
        """The id of the active key-encryption key."""
        return KMS + self.kms_key_id if self.kms_key_id else self.file.active

    def derive(self, use: str) -> bytes:
        """Return the derived key of one use; keys of different uses are unrelated."""
        index = self.file.index
        if use not in self._derived:
            self._derived[use] = HKDF(SHA256(), KEY_BYTES, None, f"carteira credit {use}".encode()).derive(index)
        return self._derived[use]

    def hash(self, use: str, text: str) -> bytes:
        """Return the keyed hash of a text (a CPF) for one use."""
        return hmac.new(self.derive(use), text.encode(), hashlib.sha256).digest()

    async def wrap(self, data_key: bytes, context: str) -> tuple[str, bytes]:
        """Wrap a data key for one record; return the wrapping key's id and the wrapped bytes.

        Raises:
            KeyServiceDown: KMS does not answer.
        """
        active = self.active
        if active.startswith(KMS):
            async with self._kms() as kms:
                answer = await kms.encrypt(
                    KeyId=active.removeprefix(KMS), Plaintext=data_key, EncryptionContext={"record": context}
                )
            return active, answer["CiphertextBlob"]
        nonce = secrets.token_bytes(NONCE_BYTES)
        return active, nonce + AESGCM(self.file.keys[active]).encrypt(nonce, data_key, f"{context}|{active}".encode())

    async def unwrap(self, key_id: str, wrapped: bytes, context: str) -> bytes:
        """Unwrap a record's data key.

        Raises:
            RecordUnreadable: the key is missing, or it is another record's.
            KeyServiceDown: KMS does not answer.
        """
        if key_id.startswith(KMS):
            async with self._kms() as kms:
                answer = await kms.decrypt(
                    KeyId=key_id.removeprefix(KMS), CiphertextBlob=wrapped, EncryptionContext={"record": context}
                )
            return bytes(answer["Plaintext"])
        key = self.file.keys.get(key_id)
        if key is None:
            raise RecordUnreadable
        try:
            return AESGCM(key).decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], f"{context}|{key_id}".encode())
        except InvalidTag as error:
            raise RecordUnreadable from error

    @asynccontextmanager
    async def _kms(self) -> AsyncIterator[Any]:
        if self._aws is None:
            raise KeyServiceDown
        try:
            async with self._aws.client("kms") as kms, asyncio.timeout(KMS_SECONDS):
                yield kms
        except ClientError as error:
            if error.response["Error"]["Code"] in {"InvalidCiphertextException", "IncorrectKeyException"}:
                raise RecordUnreadable from error
            raise KeyServiceDown from error
        except (BotoCoreError, OSError, TimeoutError) as error:
            raise KeyServiceDown from error
