"""Encryption to a public key in the age format (age-encryption.org/v1): the writer cannot read.

The content opens only with the private key, which no server holds; `age -d` opens it too.
"""

import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, Self

import pyrage

_CHUNK = 1 << 20
_GZIP = 16 + zlib.MAX_WBITS
_FASTEST = 1


class CannotOpen(ValueError):
    """The content was not encrypted to this key, or was changed or truncated."""


class ByteReader(Protocol):
    """A source of bytes: it returns at most so many at once, and none at the end."""

    def read(self, size: int, /) -> bytes:
        """Return the next bytes."""
        ...


class Recipients:
    """Public keys; the private key of any of them opens what is encrypted to them."""

    def __init__(self, keys: Sequence[Any]) -> None:
        self._keys = list(keys)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read public keys, comma-separated.

        Raises:
            ValueError: one is invalid, or there is none.
        """
        try:
            keys = [pyrage.x25519.Recipient.from_str(part.strip()) for part in text.split(",") if part.strip()]
        except pyrage.RecipientError as error:
            raise ValueError("não é uma chave pública age (age1…)") from error
        if not keys:
            raise ValueError("não tem nenhuma chave pública age (age1…)")
        return cls(keys)

    def encrypt(self, content: bytes) -> bytes:
        """Encrypt a whole content."""
        sealed: bytes = pyrage.encrypt(content, self._keys)
        return sealed

    def encrypt_stream(self, source: ByteReader, write: Callable[[bytes], object]) -> None:
        """Compress (gzip) and encrypt a stream, with only pieces of it in memory.

        Raises what reading and writing raise.
        """
        ends = _Ends(_Compressed(source), write)
        try:
            pyrage.encrypt_io(ends, ends, self._keys)
        except (pyrage.EncryptError, OSError):
            ends.require_closed()
            raise
        ends.require_closed()


class PrivateKey:
    """A private key, as `age-keygen` writes it."""

    def __init__(self, key: Any) -> None:  # noqa: ANN401 - the library has no types
        self._key = key

    @classmethod
    def make(cls) -> Self:
        """Return a new key."""
        return cls(pyrage.x25519.Identity.generate())

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a key from a file; lines that begin with `#` are skipped.

        Raises:
            OSError: the file cannot be read.
            ValueError: it holds no private key.
        """
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        for line in lines:
            if line.startswith("AGE-SECRET-KEY-1"):
                try:
                    return cls(pyrage.x25519.Identity.from_str(line.strip()))
                except pyrage.IdentityError as error:
                    raise ValueError(f"{path} não tem uma chave privada age inteira") from error
        raise ValueError(f"{path} não tem uma chave privada age (AGE-SECRET-KEY-1…)")

    @property
    def public(self) -> str:
        """Its public key."""
        return str(self._key.to_public())

    def text(self) -> str:
        """Return the key as its file holds it."""
        return f"# public key: {self.public}\n{self._key}\n"

    def decrypt(self, content: bytes) -> bytes:
        """Decrypt a whole content.

        Raises:
            CannotOpen: it was not encrypted to this key, or was changed.
        """
        try:
            clear: bytes = pyrage.decrypt(content, [self._key])
        except pyrage.DecryptError as error:
            raise CannotOpen(str(error)) from error
        return clear

    def decrypt_stream(self, source: ByteReader, write: Callable[[bytes], object]) -> None:
        """Decrypt and decompress a stream; only pieces of it are in memory.

        Raises:
            CannotOpen: it was not encrypted to this key, or was changed or cut off. What was written by then must not
                be used. Also what reading and writing raise.
        """
        expand = zlib.decompressobj(_GZIP)
        ends = _Ends(source, lambda piece: write(expand.decompress(piece)))
        try:
            pyrage.decrypt_io(ends, ends, [self._key])
            ends.require_closed()
            write(expand.flush())
        except (pyrage.DecryptError, OSError, zlib.error) as error:
            if ends.failure is not None and not isinstance(ends.failure, zlib.error):
                raise ends.failure from None
            raise CannotOpen(str(error)) from error
        if not expand.eof:
            raise CannotOpen("cut off")


class _Compressed:
    """A reader that compresses another reader's bytes."""

    def __init__(self, source: ByteReader) -> None:
        self._source = source
        self._gzip = zlib.compressobj(_FASTEST, zlib.DEFLATED, _GZIP)
        self._ready = memoryview(b"")
        self._ended = False

    def read(self, size: int) -> bytes:
        while not self._ready and not self._ended:
            clear = self._source.read(_CHUNK)
            self._ready = memoryview(self._gzip.compress(clear) if clear else self._gzip.flush())
            self._ended = not clear
        piece, self._ready = bytes(self._ready[:size]), self._ready[size:]
        return piece


class _Ends:
    """The ends that the library reads from and writes to.

    It wraps their errors in its own, so the originals are kept.
    """

    def __init__(self, source: ByteReader, write: Callable[[bytes], object]) -> None:
        self._source = source
        self._write = write
        self.failure: Exception | None = None

    def read(self, size: int) -> bytes:
        try:
            return self._source.read(size)
        except Exception as error:
            self.failure = error
            raise OSError("source failed") from error

    def write(self, piece: bytes) -> int:
        try:
            self._write(piece)
        except Exception as error:
            self.failure = error
            raise OSError("target failed") from error
        return len(piece)

    def flush(self) -> None:
        """Do nothing: nothing is buffered."""

    def require_closed(self) -> None:
        """Raise the original error of an end, if there was one."""
        if self.failure is not None:
            raise self.failure
