"""Encryption to a public key: which key decrypts, and which changes are noticed."""

import io
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from carteira.kit.security.age import CannotOpen, PrivateKey, Recipients


def sealed(clear: bytes, key: PrivateKey) -> bytes:
    pieces: list[bytes] = []
    Recipients.parse(key.public).encrypt_stream(io.BytesIO(clear), pieces.append)
    return b"".join(pieces)


def opened(content: bytes, key: PrivateKey) -> bytes:
    pieces: list[bytes] = []
    key.decrypt_stream(io.BytesIO(content), pieces.append)
    return b"".join(pieces)


@pytest.mark.parametrize("clear", [b"", b"x", os.urandom(3_000_000), bytes(5_000_000)], ids=len)
def test_a_stream_opens_with_the_private_key_alone(clear: bytes) -> None:
    key = PrivateKey.make()
    content = sealed(clear, key)
    assert opened(content, key) == clear
    with pytest.raises(CannotOpen):
        opened(content, PrivateKey.make())


def test_changed_or_truncated_files_do_not_open() -> None:
    key = PrivateKey.make()
    content = sealed(os.urandom(200_000), key)
    for broken in (content[:-1], content[:70_000], content[:1000] + b"\0" + content[1001:], b"", b"age"):
        with pytest.raises(CannotOpen):
            opened(broken, key)


class Failing:
    """A stream that fails."""

    def read(self, _size: int, /) -> bytes:
        raise LookupError("read")

    def write(self, _piece: bytes) -> None:
        raise LookupError("written")


def test_an_error_at_the_end_is_raised() -> None:
    key = PrivateKey.make()
    recipients, content = Recipients.parse(key.public), sealed(os.urandom(200_000), key)
    with pytest.raises(LookupError, match="read"):
        recipients.encrypt_stream(Failing(), bytearray().extend)
    with pytest.raises(LookupError, match="written"):
        recipients.encrypt_stream(io.BytesIO(b"x"), Failing().write)
    with pytest.raises(LookupError, match="read"):
        key.decrypt_stream(Failing(), bytearray().extend)
    with pytest.raises(LookupError, match="written"):
        key.decrypt_stream(io.BytesIO(content), Failing().write)


def test_each_of_several_keys_opens() -> None:
    one, two = PrivateKey.make(), PrivateKey.make()
    content = Recipients.parse(f"{one.public}, {two.public}").encrypt(b"clear")
    assert one.decrypt(content) == two.decrypt(content) == b"clear"


@pytest.mark.parametrize("text", ["", " , ", "age1bad", "AGE-SECRET-KEY-1"])
def test_invalid_public_keys_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="chave pública age"):
        Recipients.parse(text)


def test_a_key_file_is_read_as_age_keygen_writes_it(tmp_path: Path) -> None:
    key = PrivateKey.make()
    (tmp_path / "key").write_text(f"# created: today\n{key.text()}")
    assert PrivateKey.load(tmp_path / "key").public == key.public
    for content in ("", "# nothing", "AGE-SECRET-KEY-1NOTONE"):
        (tmp_path / "key").write_text(content)
        with pytest.raises(ValueError, match="chave privada age"):
            PrivateKey.load(tmp_path / "key")


@pytest.mark.skipif(shutil.which("age") is None, reason="NO AGE: its own program was not tried (apt-get install age)")
def test_the_program_age_opens_it(tmp_path: Path) -> None:
    key = PrivateKey.make()
    (tmp_path / "key").write_text(key.text())
    (tmp_path / "sealed").write_bytes(Recipients.parse(key.public).encrypt(b"clear"))
    command = ["age", "--decrypt", "--identity", str(tmp_path / "key"), str(tmp_path / "sealed")]
    assert subprocess.run(command, capture_output=True, check=True).stdout == b"clear"
