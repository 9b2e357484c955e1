"""Certificates of the stand-in payment provider: its own authority, and the certificates of both sides.

Production refuses certificates of this authority.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from carteira.kit.ops.private_files import replace_private_file
from carteira.kit.values.clock import clock

ISSUER = "Carteira: provedor de Pix de mentira"
"""The authority's name, by which production recognises it."""
_YEARS = 10
_HOSTS = ("localhost", "127.0.0.1", "::1", "pix")
"""This machine, and the stand-in's container by its name in `compose.yaml`."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its private key, in PEM."""

    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class SandboxCertificates:
    """The files in a folder: the authority, and each side's certificates as a server and as a client."""

    folder: Path

    @property
    def authority(self) -> Path:
        """The authority that signed all of them."""
        return self.folder / "authority.pem"

    @property
    def provider(self) -> Pair:
        """The certificate of the provider's API."""
        return self._pair("provider")

    @property
    def teller(self) -> Pair:
        """The provider's client certificate for notifications."""
        return self._pair("teller")

    @property
    def ours(self) -> Pair:
        """The product's client certificate."""
        return self._pair("ours")

    @property
    def listener(self) -> Pair:
        """The certificate of the product's listener for notifications."""
        return self._pair("listener")

    def _pair(self, name: str) -> Pair:
        return Pair(self.folder / f"{name}.pem", self.folder / f"{name}.key")


def make_certificates(folder: Path) -> SandboxCertificates:
    """Make the files of a folder, or return the existing ones."""
    made = SandboxCertificates(folder)
    if made.authority.exists():
        return made
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, ISSUER)])
    signer = ec.generate_private_key(ec.SECP256R1())
    root = _certificate(name, signer.public_key(), name, signer, usages=(), is_root=True)
    for pair, usage in (
        (made.provider, ExtendedKeyUsageOID.SERVER_AUTH),
        (made.listener, ExtendedKeyUsageOID.SERVER_AUTH),
        (made.teller, ExtendedKeyUsageOID.CLIENT_AUTH),
        (made.ours, ExtendedKeyUsageOID.CLIENT_AUTH),
    ):
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"carteira-sandbox-{pair.certificate.stem}")])
        signed = _certificate(subject, key.public_key(), name, signer, usages=(usage,))
        replace_private_file(pair.key, _pem_of(key))
        replace_private_file(pair.certificate, signed.public_bytes(serialization.Encoding.PEM))
    replace_private_file(made.authority, root.public_bytes(serialization.Encoding.PEM))  # last of all
    return made


def is_of_sandbox(file: Path) -> bool:
    """Return whether a PEM file has a certificate that the stand-in's authority signed.

    Raises:
        OSError: it cannot be read.
        ValueError: it has no certificate.
    """
    names = (
        found.issuer.get_attributes_for_oid(NameOID.COMMON_NAME)
        for found in x509.load_pem_x509_certificates(file.read_bytes())
    )
    return any(attribute.value == ISSUER for name in names for attribute in name)


def _pem_of(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _certificate(  # noqa: PLR0913 - the fields of a certificate
    subject: x509.Name,
    key: ec.EllipticCurvePublicKey,
    issuer: x509.Name,
    signer: ec.EllipticCurvePrivateKey,
    *,
    usages: Iterable[x509.ObjectIdentifier],
    is_root: bool = False,
) -> x509.Certificate:
    now = clock.now()
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=365 * _YEARS))
        .add_extension(x509.BasicConstraints(ca=is_root, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    if not is_root:
        hosts = [x509.IPAddress(ip_address(host)) if host[0] in "1:" else x509.DNSName(host) for host in _HOSTS]
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        builder = builder.add_extension(x509.SubjectAlternativeName(hosts), critical=False)
    return builder.sign(signer, hashes.SHA256())
