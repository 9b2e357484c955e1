"""Public keys of clients, as JWK (RFC 7517) or PEM, of the kinds that may sign assertions."""

from typing import Any
from warnings import catch_warnings, simplefilter

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from joserfc.errors import JoseError, SecurityWarning
from joserfc.jwk import ECKey, OKPKey, RSAKey

ALGORITHMS = ("ES256", "Ed25519", "EdDSA", "PS256", "RS256")
"""Many libraries still write `EdDSA` for Ed25519, the only curve accepted here (RFC 9864, section 2.2)."""
SigningKey = ECKey | OKPKey | RSAKey
_KINDS: dict[str, type[SigningKey]] = {"EC": ECKey, "OKP": OKPKey, "RSA": RSAKey}
_CURVES = {"EC": "P-256", "OKP": "Ed25519"}
_RSA_BITS = range(3072, 8193)
"""128 bits of security (NIST SP 800-57); keys that were registered before this rule stay valid."""


class UnfitKey(ValueError):
    """The key is not a public key that may verify a client's assertions."""


def read_public_key(given: str | dict[str, Any]) -> dict[str, Any]:
    """Return a public key, PEM or JWK, as the JWK that is stored.

    Raises:
        UnfitKey: unreadable, private, or neither Ed25519, P-256 nor RSA of 3,072 to 8,192 bits.
    """
    with catch_warnings():
        simplefilter("error", SecurityWarning)  # keys that the library warns about are refused
        try:
            key = _from_pem(given) if isinstance(given, str) else _from_jwk(given)
        except (JoseError, SecurityWarning, ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise UnfitKey from error
    public = key.as_dict(private=False)
    if _CURVES.get(key.key_type) != public.get("crv"):
        raise UnfitKey
    if isinstance(key, RSAKey) and key.raw_value.key_size not in _RSA_BITS:
        raise UnfitKey
    return {name: public[name] for name in ("kty", "crv", "x", "y", "n", "e") if name in public}


def _from_jwk(given: dict[str, Any]) -> SigningKey:
    if "d" in given:
        raise UnfitKey
    return load_key(given)


def load_key(jwk: dict[str, Any]) -> SigningKey:
    """Return the key of a JWK.

    Raises:
        UnfitKey, JoseError, ValueError, TypeError: it is not a key.
    """
    kind = _KINDS.get(str(jwk.get("kty")))
    if kind is None:
        raise UnfitKey
    return kind.import_key(jwk)


def _from_pem(given: str) -> SigningKey:
    key = load_pem_public_key(given.encode())
    for kind, type_ in (("EC", EllipticCurvePublicKey), ("OKP", Ed25519PublicKey), ("RSA", RSAPublicKey)):
        if isinstance(key, type_):
            return _KINDS[kind].import_key(given)
    raise UnfitKey
