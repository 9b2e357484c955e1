"""The BR Code, which a payer's bank reads from a picture or a pasted text (EMV QRCPS, merchant-presented).

A field is an id of two digits, a length of two digits and a value; some values are fields themselves. The last one is a
CRC-16/CCITT-FALSE of all before it, its own id and length included. Sources: the Central Bank's manual of the BR Code.
"""

import re
import unicodedata
from binascii import crc_hqx
from io import BytesIO

import segno

PIX = "br.gov.bcb.pix"
MAX_NAME = 25
MAX_CITY = 15
MAX_CODE = 512
_MAX_VALUE = 99
_FORMAT, _ONCE, _ACCOUNT, _CATEGORY, _CURRENCY, _AMOUNT = "00", "01", "26", "52", "53", "54"
_COUNTRY, _NAME, _CITY, _MORE, _CRC = "58", "59", "60", "62", "63"
_GUI, _KEY, _LOCATION, _TXID = "00", "01", "25", "05"
_BRL = "986"
_DIGITS = re.compile(r"[0-9]{4}", re.ASCII)
_NO_TXID = "***"
"""The placeholder where the `txid` is in the provider's payload, or there is none."""


class InvalidBrCode(ValueError):
    """A text is not a BR Code, or a value does not fit into one."""


def dynamic(location: str, *, name: str, city: str) -> str:
    """Return the code of a provider's charge, which can be paid once.

    Args:
        location: The address of the charge's payload, as the provider returned it, without `https://`.
        name: The payee, truncated to 25 ASCII characters.
        city: The payee's city, truncated to 15 characters.

    Raises:
        InvalidBrCode: the location is empty, too long, or not ASCII.
    """
    return _written(((_GUI, PIX), (_LOCATION, location)), name, city, _NO_TXID, once=True)


def require_location(location: str) -> None:
    """Require that a code can be written for the location of a provider's charge.

    Raises:
        InvalidBrCode: it is too long, or not ASCII.
    """
    dynamic(location, name="-", city="-")


def static(key: str, *, name: str, city: str, amount: int | None = None, txid: str = _NO_TXID) -> str:
    """Return a reusable code for a key, with `amount` centavos or with an amount that the payer types.

    Raises:
        InvalidBrCode: the key or the `txid` does not fit.
    """
    return _written(((_GUI, PIX), (_KEY, key)), name, city, txid, amount=amount)


def _written(  # noqa: PLR0913 - the fields of a code
    account: tuple[tuple[str, str], ...],
    name: str,
    city: str,
    txid: str,
    *,
    amount: int | None = None,
    once: bool = False,
) -> str:
    fields = [
        (_FORMAT, "01"),
        *([(_ONCE, "12")] if once else []),
        (_ACCOUNT, "".join(_field(*part) for part in account)),
        (_CATEGORY, "0000"),
        (_CURRENCY, _BRL),
        *([(_AMOUNT, f"{amount // 100}.{amount % 100:02d}")] if amount else []),
        (_COUNTRY, "BR"),
        (_NAME, _plain(name, MAX_NAME)),
        (_CITY, _plain(city, MAX_CITY)),
        (_MORE, _field(_TXID, txid)),
    ]
    text = "".join(_field(*field) for field in fields) + f"{_CRC}04"
    return text + checksum(text)


def _field(number: str, value: str) -> str:
    if not (0 < len(value) <= _MAX_VALUE and value.isascii() and value.isprintable()):
        raise InvalidBrCode(f"field {number} does not fit")
    return f"{number}{len(value):02d}{value}"


def _plain(text: str, most: int) -> str:
    """Return a name in ASCII, since banks count accents differently."""
    bare = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return " ".join(bare.split())[:most].strip()


def checksum(text: str) -> str:
    """Return the CRC of a code up to and including `6304`, as four hexadecimal digits."""
    return f"{crc_hqx(text.encode('ascii'), 0xFFFF):04X}"


def read(code: str) -> dict[str, str]:
    """Parse a code into its fields by id; nested fields have ids like `26.25` and `62.05`.

    Raises:
        InvalidBrCode: it is not a Pix code, it is truncated, or its CRC is wrong.
    """
    if not code.isascii() or len(code) > MAX_CODE:
        raise InvalidBrCode("not a BR Code")
    if code[-8:-4] != f"{_CRC}04" or checksum(code[:-4]) != code[-4:].upper():
        raise InvalidBrCode("another checksum")
    fields = _read(code)
    for outer in (_ACCOUNT, _MORE):
        fields |= {f"{outer}.{inner}": value for inner, value in _read(fields.get(outer, "")).items()}
    if fields.get(f"{_ACCOUNT}.{_GUI}", "").lower() != PIX:
        raise InvalidBrCode("not of Pix")
    return fields


def _read(text: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    while text:
        number, size = text[:2], text[2:4]
        if not _DIGITS.fullmatch(number + size) or len(text) < 4 + int(size) or number in fields:
            raise InvalidBrCode("a field is cut off, or stands twice")
        fields[number], text = text[4 : 4 + int(size)], text[4 + int(size) :]
    return fields


def svg(code: str) -> str:
    """Draw a code as an SVG."""
    image = BytesIO()
    segno.make_qr(code, error="m").save(image, kind="svg", xmldecl=False, scale=4)
    return image.getvalue().decode()


def png(code: str) -> bytes:
    """Draw a code as a PNG."""
    image = BytesIO()
    segno.make_qr(code, error="m").save(image, kind="png", scale=8)
    return image.getvalue()
