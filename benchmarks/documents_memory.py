"""The memory that a server takes for many uploads at once.

Starts the embedded servers and one server process (uvicorn), uploads `--files` PDFs of 10 MiB in parallel, watches the
server's resident memory, downloads each file again and compares it. Ends with 1 when the peak is over `--limit-mib`.

    python -m benchmarks.documents_memory [--files 50] [--s3]
"""

import argparse
import asyncio
import hashlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import httpx

from carteira import schema
from carteira.app import access_key
from carteira.embedded import SERVICE, EmbeddedServers
from carteira.embedded.home import HOST, Home
from carteira.kit.security import tokens
from carteira.settings import Settings

MIB = 1024 * 1024
FILE_BYTES = 10 * MIB
PIECE_BYTES = 64 * 1024
BOUNDARY = "documents-memory"


def resident_mib(pid: int, field: str) -> float:
    """Return VmRSS (now) or VmHWM (the peak so far) of a process, in MiB."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1024
    raise LookupError(field)


def pdf(filling: bytes) -> bytes:
    """A one-page PDF with a stream."""
    head = (
        b"%PDF-1.7\n1 0 obj\n<< /Type /Catalog /Pages 2 0 R >>\nendobj\n"
        b"2 0 obj\n<< /Type /Pages /Kids [] /Count 0 >>\nendobj\n"
    )
    stream = b"3 0 obj\n<< /Length %d >>\nstream\n%s\nendstream\nendobj\n" % (len(filling), filling)
    start = len(head) + len(stream)
    return (
        head
        + stream
        + b"xref\n0 1\n0000000000 65535 f \ntrailer\n<< /Size 4 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % start
    )


async def form(data: bytes) -> AsyncIterator[bytes]:
    """Yield the multipart body piece by piece, so that the client's memory stays small, too."""
    for name, value in (("document_type", "CNH"), ("document_number", "62472927637")):
        yield f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
    yield f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="cnh.pdf"\r\n\r\n'.encode()
    for start in range(0, len(data), PIECE_BYTES):
        yield data[start : start + PIECE_BYTES]
    yield f"\r\n--{BOUNDARY}--\r\n".encode()


@contextmanager
def server(environment: dict[str, str], port: int) -> Iterator[int]:
    """Run one server process."""
    command = [
        sys.executable, "-m", "uvicorn", "--factory", "carteira.app:from_environment",
        "--host", HOST, "--port", str(port), "--no-access-log", "--log-level", "warning",
    ]  # fmt: skip
    process = subprocess.Popen(command, env={**os.environ, **environment, "LOG_LEVEL": "warning"})
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                httpx.get(f"http://{HOST}:{port}/health", timeout=1).raise_for_status()
                break
            except httpx.HTTPError:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        yield process.pid
    finally:
        process.terminate()
        process.wait(20)


async def upload_all(base_url: str, people: Sequence[str]) -> tuple[float, int]:
    """Upload one file of each person concurrently, then read each back.

    `people` are their access tokens. Return the seconds that the uploads took and how many files came back unchanged.
    """
    common = os.urandom(FILE_BYTES - 400)
    data = pdf(common)
    digest = hashlib.sha256(data).digest()
    limits = httpx.Limits(max_connections=len(people))
    async with httpx.AsyncClient(base_url=base_url, timeout=120, limits=limits) as client:

        async def one(token: str) -> tuple[str, dict[str, str]]:
            bearer = {"authorization": f"Bearer {token}"}
            answer = await client.post(
                "/documents",
                content=form(data),
                headers=bearer | {"content-type": f"multipart/form-data; boundary={BOUNDARY}"},
            )
            answer.raise_for_status()
            return str(answer.json()["id"]), bearer

        began = time.perf_counter()
        kept = await asyncio.gather(*map(one, people))
        seconds = time.perf_counter() - began

        async def back(document_id: str, bearer: dict[str, str]) -> bool:
            link = (await client.post(f"/documents/{document_id}/link", headers=bearer)).json()["url"]
            found = hashlib.sha256()
            async with client.stream("GET", link) as answer:
                async for piece in answer.aiter_bytes():
                    found.update(piece)
            return found.digest() == digest

        right = 0
        for start in range(0, len(kept), 5):
            right += sum(await asyncio.gather(*(back(*one) for one in kept[start : start + 5])))
        return seconds, right


def main() -> int:
    """Measure, print, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--files", type=int, default=50)
    parser.add_argument("--limit-mib", type=int, default=300)
    parser.add_argument("--s3", action="store_true", help="into the embedded S3 instead of a folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="carteira-bench-") as folder:
        home = Path(folder)
        with EmbeddedServers(home, redis=False, aws=options.s3) as servers:
            endpoints = servers.endpoints
            schema.migrate(endpoints.owner_url)
            schema.grant(endpoints.owner_url, SERVICE)
            environment = {
                "CARTEIRA_HOME": folder,
                "CARTEIRA_MODULES": "documents",
                "DATABASE_URL": endpoints.database_url,
                "REQUEST_TIMEOUT_SECONDS": "120",
            }
            if options.s3:
                environment |= {"AWS_ENDPOINT_URL": endpoints.aws_endpoint_url, "DOCUMENTS_URL": "s3://benchmark/files"}
            settings = Settings(_env_file=None, carteira_home=home)
            key = access_key(settings)
            people = [tokens.sign(key, subject=str(uuid4()), ttl_seconds=600, claims={}) for _ in range(options.files)]
            port = Home(home).choose_port("benchmark")
            with server(environment, port) as pid:
                idle = resident_mib(pid, "VmRSS")
                seconds, right = asyncio.run(upload_all(f"http://{HOST}:{port}", people))
                peak = resident_mib(pid, "VmHWM")
    where, rate = "S3" if options.s3 else "disk", options.files * 10 / seconds
    print(f"{options.files} uploads of 10 MiB at once to {where}: {seconds:.1f} s, {rate:.0f} MiB/s")
    print(f"server memory: idle {idle:.0f} MiB, peak {peak:.0f} MiB (limit {options.limit_mib})")
    print(f"{right} of {options.files} came back as they were")
    return 0 if peak < options.limit_mib and right == options.files else 1


if __name__ == "__main__":
    sys.exit(main())
