"""Sealing base A: a data key per record, AES-256-GCM per field, each bound to its table, row, column and key.

A ciphertext that is moved to another row or column, or opened with another key, does not open (NIST SP 800-38D: the
place is the additional authenticated data).
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from carteira.credit.errors import RecordUnreadable
from carteira.credit.keys import KEY_BYTES, NONCE_BYTES, Keyring
from carteira.kit.values.ids import uuid7

TABLE = "credit_records"
COLUMNS = ("cpf", "name", "address", "debts")


@dataclass(frozen=True)
class Sealed:
    """A record's ciphertexts and the wrapped key that opens them."""

    wrapped_by: str
    data_key_id: UUID
    data_key: bytes
    fields: Mapping[str, bytes]


def _binding_of(row_id: UUID, column: str, key_id: UUID) -> bytes:
    return f"{TABLE}|{row_id}|{column}|{key_id}".encode()


def _context(row_id: UUID, key_id: UUID) -> str:
    return f"{TABLE}|{row_id}|{key_id}"


async def seal(keyring: Keyring, row_id: UUID, plain: Mapping[str, object]) -> Sealed:
    """Seal the columns of a row under a fresh data key, wrapped by the active key-encryption key.

    Raises:
        KeyServiceDown: KMS does not answer.
    """
    key, key_id = secrets.token_bytes(KEY_BYTES), uuid7()
    wrapped_by, wrapped = await keyring.wrap(key, _context(row_id, key_id))
    aead = AESGCM(key)
    fields = {}
    for column in COLUMNS:
        nonce = secrets.token_bytes(NONCE_BYTES)
        content = orjson.dumps(plain[column])
        fields[column] = nonce + aead.encrypt(nonce, content, _binding_of(row_id, column, key_id))
    return Sealed(wrapped_by, key_id, wrapped, fields)


async def unseal(keyring: Keyring, row_id: UUID, sealed: Sealed) -> dict[str, object]:
    """Open a row.

    Raises:
        RecordUnreadable: a ciphertext was changed or moved, or the key is not here.
        KeyServiceDown: KMS does not answer.
    """
    aead = AESGCM(await keyring.unwrap(sealed.wrapped_by, sealed.data_key, _context(row_id, sealed.data_key_id)))
    plain = {}
    for column, content in sealed.fields.items():
        place = _binding_of(row_id, column, sealed.data_key_id)
        try:
            plain[column] = orjson.loads(aead.decrypt(content[:NONCE_BYTES], content[NONCE_BYTES:], place))
        except (InvalidTag, ValueError) as error:
            raise RecordUnreadable from error
    return plain
