"""Signatures of manifests, so that write access to the place is not enough to forge a backup.

A backup is encrypted to a public key, so anybody with that key and access to the place could store a complete one of
their own database. The manifest names every stream by its hash; an HMAC over it, under a key derived from the
installation's identity ring, proves that a server with these keys wrote it. Former keys of the ring verify too.
"""

import hmac
import tempfile
from collections.abc import Iterable
from pathlib import Path

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from carteira.backup import keys as key_files
from carteira.backup.errors import BackupDamaged, BackupFailed
from carteira.backup.place import Manifest
from carteira.key_rings import RINGS
from carteira.kit.security.age import PrivateKey
from carteira.kit.security.key_ring import KeyRing, RingKey
from carteira.settings import Settings

_INFO = b"carteira backup manifest"


def sign(manifest: Manifest, settings: Settings) -> None:
    """Sign a manifest, complete or not yet.

    Raises:
        BackupFailed: the ring's file is not there.
    """
    key = ring_of(settings, create=settings.environment == "development")[-1]
    manifest.signed_by = key.id
    manifest.signature = _signature(manifest, key)


def require_signature(manifest: Manifest, ring: Iterable[RingKey]) -> None:
    """Require that a manifest was signed under a key of the ring.

    Raises:
        BackupDamaged: it is unsigned, was changed, or was signed under no key of the ring.
    """
    if not manifest.signature:
        raise BackupDamaged(
            f"o backup {manifest.id} não tem assinatura: é de uma versão antiga, ou alguém o pôs ali. Se você sabe de "
            "onde ele veio, use --unsigned"
        )
    key = next((key for key in ring if key.id == manifest.signed_by), None)
    if key is None or not hmac.compare_digest(_signature(manifest, key), manifest.signature):
        raise BackupDamaged(
            f"a assinatura do backup {manifest.id} não é das chaves desta instalação: o manifesto foi alterado, ou as "
            "chaves são outras (--keys)"
        )


def ring_in(packed: bytes, key: PrivateKey, settings: Settings) -> tuple[RingKey, ...]:
    """Return the signing keys from the file of `carteira backup keys`, which `key` opens.

    Raises:
        BackupDamaged: it does not open.
    """
    ring = RINGS["identity"]
    names = {one.setting.lower(): None for one in RINGS.values()}
    with tempfile.TemporaryDirectory() as folder:
        there = settings.model_copy(update={**names, "carteira_home": Path(folder)})
        key_files.unpack(packed, key, there)
        return KeyRing(ring.path(there)).keys()


def ring_of(settings: Settings, *, create: bool = False) -> tuple[RingKey, ...]:
    """Return the signing keys from the installation's file.

    Raises:
        BackupFailed: it is not there.
    """
    path = RINGS["identity"].path(settings)
    try:
        return KeyRing(path, create=create).keys()
    except FileNotFoundError as error:
        raise BackupFailed(f"{path} não existe: a assinatura do backup é conferida com ela (--keys)") from error


def _signature(manifest: Manifest, key: RingKey) -> str:
    secret = HKDF(SHA256(), 32, salt=None, info=_INFO).derive(key.key)
    return hmac.new(secret, manifest.signed_content(), "sha256").hexdigest()
