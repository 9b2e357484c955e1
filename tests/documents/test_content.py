import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carteira.documents import content
from carteira.documents.errors import FileBroken, FileTypeRefused
from tests.support import files


async def inspect(data: bytes, pieces: list[int] | None = None) -> str:
    """Inspect a file that comes in pieces of the sizes given (the first holds what sniffing needs)."""
    inspector = content.sniff(data[: content.SNIFFED_BYTES])
    start = 0
    for size in [*(pieces or []), len(data)]:
        piece = data[start : start + max(size, content.SNIFFED_BYTES if start == 0 else 1)]
        start += len(piece)
        if piece:
            inspector.feed(piece)

    async def read_at(offset: int, length: int) -> bytes:
        return data[offset : offset + length]

    await inspector.finish(read_at)
    return inspector.content_type


WHOLE = {
    "pdf": files.pdf(),
    "big pdf": files.pdf(50_000),
    "png": files.png(),
    "padded png": files.png(padding=5_000),
    "jpeg": files.jpeg(),
}


@pytest.mark.parametrize("name", WHOLE)
async def test_whole_files_are_told_however_they_are_cut(name: str) -> None:
    data = WHOLE[name]
    picker = random.Random(name)
    told = {await inspect(data)}
    for _ in range(20):
        told.add(await inspect(data, [picker.choice((8, 9, 100, 4096)) for _ in range(30)]))
    told.add(await inspect(data[:], [1] * 600))
    assert len(told) == 1


BROKEN = {
    "cut pdf": files.pdf()[:-30],
    "pdf whose reference points nowhere": files.pdf().replace(b"startxref\n", b"startxref\n9"),
    "pdf whose reference points at text": files.pdf(body=b"x" * 200).replace(b"xref\n0 5", b"fexr\n0 5"),
    "pdf header and nothing": b"%PDF-1.7\nhello",
    "pdf without a catalogue": files.pdf().replace(b"/Root", b"/Rood"),
    "pdf with a zip behind it": files.pdf() + files.zip_bomb()[:500],
    "cut png": files.png()[:-5],
    "png with a wrong checksum": files.png()[:20] + b"\xff" + files.png()[21:],
    "png with something behind it": files.png() + b"x",
    "png without picture": files.png()[:33] + files.chunk(b"IEND", b""),
    "png of too many pixels": files.png(60_000, 60_000),
    "png of no pixels": files.png(0, 0),
    "cut jpeg": files.jpeg()[:-2],
    "jpeg of no pixels": files.jpeg(width=0),
    "jpeg of too many pixels": files.jpeg(width=60_000, height=60_000),
    "jpeg of garbage": b"\xff\xd8\xff" + b"garbage" * 10,
}


@pytest.mark.parametrize("name", BROKEN)
async def test_broken_files_are_refused(name: str) -> None:
    with pytest.raises(FileBroken):
        await inspect(BROKEN[name])


OTHERS = [files.ELF, files.EXE, files.zip_bomb(), b"GIF89a..", b"<html>..", b"\0" * 100, b"short"]


@pytest.mark.parametrize("data", OTHERS)
def test_other_files_are_not_taken(data: bytes) -> None:
    with pytest.raises(FileTypeRefused):
        content.sniff(data[: content.SNIFFED_BYTES])


@settings(max_examples=150, deadline=None)
@given(head=st.sampled_from([b"%PDF-1.7", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0"]), rest=st.binary(max_size=400))
async def test_rubbish_never_passes_and_never_breaks_the_inspector(head: bytes, rest: bytes) -> None:
    with pytest.raises(FileBroken):
        await inspect(head + rest + b"\0\0\0\0", [8, 3, 50])


@pytest.mark.parametrize(
    ("name", "media_type", "passes"),
    [
        ("rg.pdf", "application/pdf", True),
        ("rg.PDF", "", True),
        ("rg", "application/octet-stream", True),
        ("rg.png", "application/pdf", False),
        ("rg.exe", "", False),
        ("rg.pdf", "image/png", False),
        ("rg.pdf", "text/html; charset=utf-8", False),
    ],
)
def test_a_file_is_what_it_claims(name: str, media_type: str, *, passes: bool) -> None:
    if passes:
        content.insist_on_claim(content.PDF, file_name=name, media_type=media_type)
    else:
        with pytest.raises(FileTypeRefused):
            content.insist_on_claim(content.PDF, file_name=name, media_type=media_type)
