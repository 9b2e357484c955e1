"""The BR Code against published examples, and against an independent reader and checksum."""

import re
from io import BytesIO
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carteira.payments import brcode

EXAMPLES = {
    "static": "00020126580014br.gov.bcb.pix0136123e4567-e12b-12d1-a456-4266554400005204000053039865802BR"
    "5913Fulano de Tal6008BRASILIA62070503***63041D3D",
    "dynamic": "00020101021226700014br.gov.bcb.pix2548pix.example.com/8b3da2f39a4140d1a91abd93113bd441"
    "5204000053039865802BR5913Fulano de Tal6008BRASILIA62070503***630464E4",
}
"""Examples from the Central Bank's manual."""
LOCATIONS = st.from_regex(re.compile(r"[a-z0-9.-]{1,20}(/[A-Za-z0-9]{1,16}){1,3}", re.ASCII), fullmatch=True)


def bitwise(text: str) -> str:
    """Return CRC-16/CCITT-FALSE as the standard defines it: bit by bit, polynomial 1021, from FFFF."""
    register = 0xFFFF
    for byte in text.encode():
        for place in range(7, -1, -1):
            differs = (register >> 15) ^ (byte >> place & 1)
            register = register << 1 & 0xFFFF
            if differs:
                register ^= 0x1021
    return format(register, "04X")


def fields_of(text: str) -> list[tuple[str, str]]:
    """Return the fields in order, each read by a regular expression."""
    found, place = [], 0
    while place < len(text):
        head = re.compile(r"(\d\d)(\d\d)").match(text, place)
        assert head is not None
        end = head.end() + int(head[2])
        assert end <= len(text)
        found.append((head[1], text[head.end() : end]))
        place = end
    return found


def test_published_examples_are_written_as_they_stand() -> None:
    who: dict[str, Any] = {"name": "Fulano de Tal", "city": "BRASILIA"}
    assert brcode.static("123e4567-e12b-12d1-a456-426655440000", **who) == EXAMPLES["static"]
    assert brcode.dynamic("pix.example.com/8b3da2f39a4140d1a91abd93113bd441", **who) == EXAMPLES["dynamic"]


@pytest.mark.parametrize("name", EXAMPLES)
def test_published_examples_are_read(name: str) -> None:
    fields = brcode.read(EXAMPLES[name])
    assert (fields["26.00"], fields["59"], fields["62.05"]) == ("br.gov.bcb.pix", "Fulano de Tal", "***")
    assert bitwise(EXAMPLES[name][:-4]) == EXAMPLES[name][-4:]


@given(LOCATIONS, st.text(max_size=60), st.text(max_size=60))
def test_another_reader_reads_written_codes(location: str, name: str, city: str) -> None:
    try:
        code = brcode.dynamic(location, name="Ana " + name, city="São " + city)
    except brcode.InvalidBrCode:  # a control character in a name
        return
    assert bitwise(code[:-4]) == code[-4:]
    fields = fields_of(code)
    assert [number for number, _ in fields] == ["00", "01", "26", "52", "53", "58", "59", "60", "62", "63"]
    values = dict(fields)
    assert fields_of(values["26"]) == [("00", "br.gov.bcb.pix"), ("25", location)]
    assert (values["01"], values["53"], values["58"]) == ("12", "986", "BR")
    assert len(values["59"]) <= 25
    assert len(values["60"]) <= 15
    assert brcode.read(code)["26.25"] == location


@given(st.integers(1, 10**12))
def test_a_static_code_holds_its_amount_in_reais(amount: int) -> None:
    code = brcode.static("+5561912345678", name="Empresa Municipal de Trânsito", city="São Paulo", amount=amount)
    assert bitwise(code[:-4]) == code[-4:]
    assert dict(fields_of(code))["54"] == f"{amount / 100:.2f}"
    assert dict(fields_of(code))["59"] == "Empresa Municipal de Tran"


@pytest.mark.parametrize("location", ["", "a" * 78, "exemplo.com/ç", "exemplo.com/\n"])
def test_unsuitable_locations_are_refused(location: str) -> None:
    with pytest.raises(brcode.InvalidBrCode):
        brcode.dynamic(location, name="Ana", city="Recife")


@pytest.mark.parametrize(
    "change",
    [
        lambda code: code[:-1],
        lambda code: code[:-4] + "0000",
        lambda code: code.replace("Tal", "Mal"),
        lambda code: code + "5802BR",
        lambda code: code[:0],
        lambda code: "é" + code,
        lambda code: (text := code[:-4].replace("bcb.pix", "bcb.xip")) + brcode.checksum(text),
    ],
)
def test_a_code_that_was_changed_or_cut_off_is_not_read(change: object) -> None:
    assert callable(change)
    with pytest.raises(brcode.InvalidBrCode):
        brcode.read(change(EXAMPLES["dynamic"]))


def test_a_code_is_drawn() -> None:
    assert brcode.svg(EXAMPLES["dynamic"]).startswith("<svg")
    assert BytesIO(brcode.png(EXAMPLES["dynamic"])).read(8) == b"\x89PNG\r\n\x1a\n"
