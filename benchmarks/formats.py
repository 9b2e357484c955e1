"""Values of Carteira's own formats, for Schemathesis: rules that a pattern cannot express (contract.md, Habits).

CPF, CNPJ, CNH and título de eleitor end in check digits; a cursor holds a key of its list; a file has the columns that
its import reads.
"""

import base64
from collections.abc import Iterable, Iterator
from datetime import UTC
from ipaddress import ip_network
from typing import Any

import schemathesis
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

_CNPJ_WEIGHTS = (5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2)
_STATES = range(1, 29)
_PARTS: dict[str, SearchStrategy[str]] = {
    "id": st.uuids().map(str),
    "instant": st.datetimes(timezones=st.just(UTC)).map(lambda instant: instant.isoformat()),
    "day": st.dates().map(str),
    "number": st.integers(0, 1_000).map(str),
    "text": st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=40),
}


def _remainder(text: str, weights: Iterable[int]) -> int:
    return sum((ord(sign) - ord("0")) * weight for sign, weight in zip(text, weights, strict=True)) % 11


def _cpf(number: int) -> str:
    digits = f"{number:09}"
    digits += str((11 - _remainder(digits, range(10, 1, -1))) % 11 % 10)
    return digits + str((11 - _remainder(digits, range(11, 1, -1))) % 11 % 10)


def _cnpj(signs: str) -> str:
    for weights in (_CNPJ_WEIGHTS, (6, *_CNPJ_WEIGHTS)):
        signs += str((11 - _remainder(signs, weights)) % 11 % 10)
    return signs


def _cnh(number: int) -> str:
    digits = f"{number:09}"
    return f"{digits}{_remainder(digits, range(9, 0, -1)) % 10}{_remainder(digits, range(1, 10)) % 10}"


def _voter(row: int, state: int) -> str:
    digits, place = f"{row:08}", f"{state:02}"
    first = _remainder(digits, range(2, 10)) % 10
    return f"{digits}{place}{first}{_remainder(f'{place}{first}', range(7, 10)) % 10}"


def _various(text: str) -> bool:
    """Return whether characters differ: equal ones satisfy the check digits, but nobody has such a number."""
    return len(set(text)) > 1


def _key() -> str:
    public = Ed25519PrivateKey.generate().public_key()
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


_CPFS = st.integers(0, 10**9 - 1).map(_cpf).filter(_various)
_AMOUNTS = st.integers(1, 10**7).map(str)
_REFERENCES = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=20)
_DAYS = st.dates().filter(lambda day: day.year > 1000).map(str)  # noqa: PLR2004 - years of purchases
_FILES: dict[str, dict[str, SearchStrategy[str]]] = {
    "credits": {"account": _REFERENCES, "category": st.just("FOOD"), "amount": _AMOUNTS},
    "accounts": {"cpf": _CPFS, "nome": st.just("Maria da Silva"), "contato": st.just("maria@exemplo.com.br")},
    "purchases": {"code": _REFERENCES, "amount": _AMOUNTS, "date": _DAYS, "cpf": _CPFS},
    "outcomes": {"cpf": _CPFS, "inadimplente": st.sampled_from(["sim", "não"])},
}


def _file(columns: dict[str, SearchStrategy[str]]) -> SearchStrategy[str]:
    lines = st.lists(st.tuples(*columns.values()).map(";".join), min_size=1, max_size=5)
    return lines.map(lambda found: "\n".join([";".join(columns), *found, ""]))


def _cursor(name: str) -> SearchStrategy[str]:
    parts = st.tuples(*(_PARTS[part] for part in name.split("-")[1:])).map("|".join)
    return parts.map(lambda text: base64.urlsafe_b64encode(text.encode()).decode().rstrip("="))


_FIXED: dict[str, SearchStrategy[str]] = {
    "cpf": _CPFS,
    "cnpj": st.text("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=12, max_size=12).map(_cnpj).filter(_various),
    "cnh": st.integers(0, 10**9 - 1).map(_cnh).filter(_various),
    "titulo-de-eleitor": st.builds(_voter, st.integers(0, 10**8 - 1), st.sampled_from(_STATES)),
    "cidr": st.builds(
        lambda bits, length: str(ip_network((bits >> (32 - length) << (32 - length), length))),
        st.integers(0, 2**32 - 1),
        st.integers(0, 32),
    ),
    "public-key-pem": st.builds(_key),
    **{f"csv-{name}": _file(columns) for name, columns in _FILES.items()},
}


def _formats(node: Any) -> Iterator[str]:  # noqa: ANN401 - any JSON
    if isinstance(node, dict):
        if isinstance(node.get("format"), str):
            yield node["format"]
        node = list(node.values())
    if isinstance(node, list):
        for inner in node:
            yield from _formats(inner)


def register(document: dict[str, Any]) -> None:
    """Register with Schemathesis how to make values of Carteira's formats that a document uses."""
    for name in sorted(set(_formats(document))):
        strategy = _cursor(name) if name.startswith("cursor-") else _FIXED.get(name)
        if strategy is not None:
            schemathesis.openapi.format(name, strategy)
