import random
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carteira.documents import content
from carteira.documents.errors import FileBroken, FileTypeRefused
from carteira.documents.positions import without_position
from tests.support import files


async def inspect(data: bytes, pieces: list[int] | None = None) -> tuple[str, bytes]:
    """Inspect a file that arrives in pieces of these sizes (the first holds what sniffing needs).

    Return its kind and the bytes that are kept.
    """
    inspector = content.sniff(data[: content.SNIFFED_BYTES])
    start, kept = 0, b""
    for size in [*(pieces or []), len(data)]:
        piece = data[start : start + max(size, content.SNIFFED_BYTES if start == 0 else 1)]
        start += len(piece)
        if piece:
            kept += inspector.feed(piece)
    inspector.finish()
    return inspector.content_type, kept


WHOLE = {
    "pdf": files.pdf(),
    "big pdf": files.pdf(50_000),
    "pdf behind blank lines and a mark": b"\xef\xbb\xbf\r\n" + files.pdf(),
    "pdf behind a printer's header": b"%!PS-Adobe-3.0 " + files.pdf(),
    "pdf of another version": files.pdf().replace(b"%PDF-1.7", b"%PDF-2.0"),
    "pdf with blanks behind it": files.pdf() + b"\r\n\0" * 3_000,
    "pdf with a server's page behind it": files.pdf() + b"<!-- served in 0.2 s -->\n",
    "pdf whose reference points nowhere": files.pdf().replace(b"startxref\n", b"startxref\n9"),
    "pdf whose reference is no table": files.pdf(body=b"x" * 200).replace(b"xref\n0 5", b"fexr\n0 5"),
    "pdf without its last line": files.pdf().rpartition(b"%%EOF")[0],
    "pdf that was added to": files.pdf() + files.pdf().partition(b"\n")[2],
    "png": files.png(),
    "padded png": files.png(padding=5_000),
    "jpeg": files.jpeg(),
    "jpeg with fill bytes": files.jpeg(before=b"\xff" * 70_000 + files.segment(0xFE, b"x")),
}


@pytest.mark.parametrize("name", WHOLE)
async def test_whole_files_are_recognised_however_they_are_cut(name: str) -> None:
    data = WHOLE[name]
    picker = random.Random(name)
    told = {await inspect(data)}
    for _ in range(20):
        told.add(await inspect(data, [picker.choice((8, 9, 100, 4096)) for _ in range(30)]))
    told.add(await inspect(data, [1] * 600))
    assert [kept for _, kept in told] == [data]


BROKEN = {
    "cut pdf": files.pdf()[:-30],
    "pdf cut in what was added": files.pdf() + files.pdf().partition(b"\n")[2][:200],
    "pdf header and nothing": b"%PDF-1.7\nhello",
    "pdf without a catalogue": files.pdf().replace(b"/Root", b"/Rood"),
    "pdf with a zip behind it": files.pdf() + files.zip_bomb()[:5_000],
    "cut png": files.png()[:-5],
    "png with a wrong checksum": files.png()[:20] + b"\xff" + files.png()[21:],
    "png without picture": files.png()[:33] + files.chunk(b"IEND", b""),
    "png of too many pixels": files.png(60_000, 60_000),
    "png of no pixels": files.png(0, 0),
    "cut jpeg": files.jpeg()[:-2],
    "jpeg of no pixels": files.jpeg(width=0),
    "jpeg of too many pixels": files.jpeg(width=60_000, height=60_000),
    "png of endless chunks": files.png(extra=files.chunk(b"prVt", b"") * 20_000),
    "jpeg that ends before its scan": files.jpeg()[:24] + b"\xff\xd9",
    "jpeg of endless segments": files.jpeg(before=files.segment(0xFE, b"") * 5_000),
    "jpeg of fill bytes": b"\xff\xd8" + b"\xff" * 500_000,
    "jpeg of garbage": b"\xff\xd8\xff" + b"garbage" * 10,
}


@pytest.mark.parametrize("name", BROKEN)
async def test_broken_files_are_refused(name: str) -> None:
    with pytest.raises(FileBroken):
        await inspect(BROKEN[name])


CUT = {
    "png and a zip": (files.png(), files.zip_bomb()),
    "png and a byte": (files.png(), b"x"),
    "jpeg and a page": (files.jpeg(), b"<html><script>alert(1)</script>"),
    "jpeg and another": (files.jpeg(), files.jpeg()),
    "jpeg and half a marker": (files.jpeg(), b"\xff"),
}


@pytest.mark.parametrize("name", CUT)
async def test_bytes_after_the_end_of_a_picture_are_removed(name: str) -> None:
    picture, tail = CUT[name]
    for pieces in ([], [100] * 50, [len(picture)], [len(picture) - 1, 1], [len(picture) - 3, 2, 2]):
        assert (await inspect(picture + tail, pieces))[1] == picture


PLACE = b"-23.5505,-46.6333 here"


def xmp(text: bytes) -> bytes:
    return b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta>" + text + b"</x:xmpmeta>"


GPS_ENTRY = struct.Struct(">HHII")
ROUND = files.exif(position=PLACE).replace(GPS_ENTRY.pack(0x8825, 4, 1, 88), GPS_ENTRY.pack(0x8825, 4, 1, 8))
assert files.exif(position=PLACE) != ROUND

HIDDEN = {
    "exif": (files.segment(0xE1, b"Exif\0\0" + files.exif(position=PLACE)), b""),
    "exif, little-endian": (files.segment(0xE1, b"Exif\0\0" + files.exif(order="<", position=PLACE)), b""),
    "exif between scans": (b"", files.segment(0xE1, b"Exif\0\0" + files.exif(position=PLACE))),
    "xmp": (files.segment(0xE1, xmp(b'<r exif:GPSLatitude="' + PLACE + b'"/>')), b""),
    "xmp of a drone": (files.segment(0xE1, xmp(b"<drone:Longitude>" + PLACE + b"</drone:Longitude>")), b""),
    "xmp in another encoding": (files.segment(0xE1, xmp("GPS ".encode("utf-16") + PLACE)), b""),
    "more xmp": (files.segment(0xE1, b"http://ns.adobe.com/xmp/extension/\0" + b"0" * 40 + PLACE), b""),
    "exif that ends too soon": (files.segment(0xE1, b"Exif\0\0" + files.exif(position=PLACE)[:-4]), b""),
    "exif whose position is its own directory": (files.segment(0xE1, b"Exif\0\0" + ROUND), b""),
}


@pytest.mark.parametrize("name", HIDDEN)
async def test_where_a_jpeg_was_taken_is_not_kept_and_its_pixels_are(name: str) -> None:
    before, between = HIDDEN[name]
    kept = (await inspect(files.jpeg(before=before, between=between)))[1]
    assert PLACE[:10] not in kept
    bare = files.jpeg(before=b"")
    assert kept.endswith(bare[bare.index(b"\xff\xda") :] if before else b"\x78\xff\xd9")
    assert (await inspect(kept))[1] == kept


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_keeps_its_orientation_and_all_else_in_its_place(order: str, orientation: int) -> None:
    with_position = files.exif(order=order, orientation=orientation, position=PLACE)
    kept = without_position(with_position)
    assert len(kept) == len(with_position)
    assert PLACE not in kept
    assert struct.pack(order + "H", 0x8825) not in kept
    # The entries for the make and the directory of Exif stay in place, and the count is one lower.
    assert kept[10:46] == with_position[10:46]
    assert struct.unpack_from(order + "H", kept, 8) == (3,)
    assert without_position(kept) == kept
    assert without_position(files.exif(order=order, orientation=orientation)) == files.exif(
        order=order, orientation=orientation
    )


@pytest.mark.parametrize("orientation", range(1, 9))
async def test_exif_that_cannot_be_walked_leaves_its_orientation(orientation: int) -> None:
    broken = files.exif(orientation=orientation, position=PLACE)[:-4]
    kept = without_position(broken)
    assert kept == b"MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)
    assert without_position(b"Ex") == without_position(b"MM\0*\0\0\0\xff") == b""


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300), st.integers(8, 130))
def test_exif_of_any_bytes_is_walked_to_an_end(rubbish: bytes, place: int) -> None:
    whole = files.exif(position=PLACE)
    assert len(without_position(whole[:place] + rubbish + whole[place + len(rubbish) :])) <= len(whole) + 300


PNG_TEXTS = {
    "exif": files.chunk(b"eXIf", files.exif(position=PLACE)),
    "xmp": files.chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0<GPSLatitude>" + PLACE),
    "deflated xmp": files.chunk(b"iTXt", b"XML:com.adobe.xmp\0\x01\0\0\0" + PLACE),
    "a raw profile": files.chunk(b"tEXt", b"Raw profile type exif\0\nexif\n" + PLACE),
    "a deflated raw profile": files.chunk(b"zTXt", b"Raw profile type APP1\0\0" + PLACE),
    "a comment": files.chunk(b"tEXt", b"Comment\0GPS " + PLACE),
    "exif too large to read": files.chunk(b"eXIf", PLACE + bytes(70_000)),
}


@pytest.mark.parametrize("name", PNG_TEXTS)
async def test_where_a_png_was_taken_is_not_kept(name: str) -> None:
    comment = files.chunk(b"tEXt", b"Author\0Maria")
    kept = (await inspect(files.png(extra=comment + PNG_TEXTS[name])))[1]
    assert PLACE not in kept
    assert comment in kept
    assert (await inspect(kept))[1] == kept
    if name == "exif":
        assert kept.count(b"eXIf") == 1


PROGRAM_AND_PDF = files.EXE[:200] + files.pdf()
OTHERS = [files.ELF, files.EXE, files.zip_bomb(), b"<html>" + files.pdf(), PROGRAM_AND_PDF, b"\0" * 100, b"short"]


@pytest.mark.parametrize("data", OTHERS)
def test_other_files_are_not_taken(data: bytes) -> None:
    with pytest.raises(FileTypeRefused):
        content.sniff(data[: content.SNIFFED_BYTES])


@pytest.mark.parametrize(
    ("head", "said"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "Mais Compatível"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "no próprio iPhone"),
        (b"\0\0\0\x18ftypavif\0\0\0\0mif1avif", "AVIF"),
        (b"RIFF\x24\0\0\0WEBPVP8 ", "tire um print"),
        (b"GIF89a..", "GIF"),
        (b"II*\0\x08\0\0\0", "TIFF"),
        (b"BM\x36\0\0\0\0\0", "BMP"),
    ],
)
def test_photos_of_other_kinds_are_refused_with_instructions(head: bytes, said: str) -> None:
    with pytest.raises(FileTypeRefused) as refused:
        content.sniff(head + bytes(200))
    assert said in refused.value.detail


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
        ("RG 12.345.678-9", "application/pdf", True),
        ("Documento da Sra. Maria", "application/pdf", True),
        ("rg.pdf", "application/x-download", True),
        ("rg.heic", "application/pdf", False),
        ("rg.html", "", False),
        ("rg.png", "application/pdf", False),
        ("rg.exe", "", False),
        ("rg.pdf", "image/png", False),
        ("rg.pdf", "text/html; charset=utf-8", False),
    ],
)
def test_a_file_is_what_it_claims(name: str, media_type: str, *, passes: bool) -> None:
    if passes:
        content.require_claim(content.PDF, file_name=name, media_type=media_type)
    else:
        with pytest.raises(FileTypeRefused):
            content.require_claim(content.PDF, file_name=name, media_type=media_type)
