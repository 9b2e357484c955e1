"""Shell blocks of the documentation, and the shell that runs those of a page in order, as a reader pastes them.

A block that is run says so in its first line, with the HTTP errors that it is there to show: ```` ```sh run 409 ````.
One that is not says why in a comment above it, or for a whole page in one comment. A block of output after one that is
run is compared with it where its first line says `printed`; `…` stands for anything.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil  # type: ignore[import-untyped] # it has no types

from tests.support.server import free_port
from tests.support.source import ROOT
from tests.support.waiting import wait_until

SHELLS = {"sh", "bash", "shell", "console"}
TRANSLATIONS = ROOT / "docs" / "pt-BR"
START_SECONDS = 120.0
PAGE_SECONDS = 240.0
_FENCE = re.compile(r"^ *```(\w*) ?(.*)$")
_REASON = re.compile(r"^ *<!-- not run: (.+) -->$")
_PAGE_REASON = re.compile(r"^<!-- no block is run: (.+) -->$", re.MULTILINE)
_WHILE_WE_LIVE = """
exec 3<&0
make run </dev/null 3<&- & MAKE=$!
(read -r <&3; kill $MAKE) & READER=$!
wait $MAKE; CODE=$?
kill $READER 2>/dev/null
exit $CODE
"""
"""Runs the product until our end of its input is closed, as it is when a test is killed."""
_BLOCK = "== block"
_ANSWER = re.compile(r"^== HTTP (\d+) (.*)$", re.MULTILINE)
_CURLRC = 'write-out = "%{stderr}\\n== HTTP %{http_code} %{method} %{url_effective}\\n"\nmax-time = 120\n'
"""A page's own `-w` takes its place: the page shows the status itself then."""


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: where it begins, its language, the words beside it, and why it is not run if it says so."""

    line: int
    language: str
    words: tuple[str, ...]
    text: str
    reason: str | None

    @property
    def is_shell(self) -> bool:
        return self.language in SHELLS

    @property
    def is_run(self) -> bool:
        return self.is_shell and self.words[:1] == ("run",)

    @property
    def is_printed(self) -> bool:
        return not self.is_shell and self.words == ("printed",)


def translated_pages() -> dict[Path, Path]:
    """Map each text in Portuguese to the English one that it says the same as."""
    texts = [page for page in sorted(TRANSLATIONS.rglob("*.md")) if page != TRANSLATIONS / "index.md"]
    pages = {page: ROOT / "docs" / page.relative_to(TRANSLATIONS) for page in texts}
    return {ROOT / "README.pt-BR.md": ROOT / "README.md"} | pages


def pages_with_blocks() -> list[Path]:
    """List README and the pages of `docs/` that hold shell blocks, but no translations: those are compared."""
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
    translated = translated_pages()
    return [page for page in pages if page not in translated and any(block.is_shell for block in blocks_of(page))]


def blocks_of(page: Path) -> list[Block]:
    text = page.read_text()
    whole = _PAGE_REASON.search(text)
    blocks, lines = [], text.splitlines()
    at = 0
    while at < len(lines):
        fence = _FENCE.match(lines[at])
        if fence is None:
            at += 1
            continue
        end = next(below for below in range(at + 1, len(lines)) if lines[below].strip() == "```")
        words = tuple(fence[2].split())
        reason = (_REASON.match(lines[at - 1]) if at else None) or (None if words else whole)
        body = "\n".join(lines[at + 1 : end]) + "\n"
        blocks.append(Block(at + 1, fence[1], words, body, reason[1] if reason else None))
        at = end + 1
    return blocks


@dataclass(frozen=True, slots=True)
class Reader:
    """Somebody in a checkout in which `make run` runs: the folder they stand in, and what their shell knows."""

    folder: Path
    environment: dict[str, str]

    def follow(self, page: Path) -> None:
        """Run a page's blocks in one shell.

        Raises:
            AssertionError: A command fails, an answer is an error that no block announces, or prints something else.
        """
        blocks = blocks_of(page)
        ours = [block for block in blocks if block.is_run]
        separated = (f"printf '\\n{_BLOCK}\\n' | tee /dev/stderr\n{block.text}" for block in ours)
        script = self.folder / "page.sh"
        script.write_text("set -eo pipefail\n" + "".join(separated))
        done = subprocess.run(  # noqa: S603 - the page's own blocks
            ["bash", str(script)],  # noqa: S607 - the system's
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PAGE_SECONDS,
            check=False,
        )
        told, errors = (text.split(f"\n{_BLOCK}\n")[1:] for text in (done.stdout, done.stderr))
        wrong = [
            f"{page.name}:{block.line}: {text}"
            for block, text in zip(ours, _unlike(ours, errors), strict=False)
            if text
        ]
        printed = dict(zip((block.line for block in ours), told, strict=False))
        wrong += [f"{page.name}:{line}: not printed:\n{text}" for line, text in _unprinted(blocks, printed)]
        if done.returncode:
            failed = ours[len(told) - 1]
            wrong.append(f"{page.name}:{failed.line}: ended with {done.returncode}:\n{told[-1]}\n{errors[-1]}")
        assert not wrong, "\n".join(wrong)


def _unlike(blocks: list[Block], errors: list[str]) -> Iterator[str]:
    """Say of each block which errors came in place of those that it announces."""
    for block, text in zip(blocks, errors, strict=False):
        came = [(status, what) for status, what in _ANSWER.findall(text) if int(status) >= 400]
        expected = list(block.words[1:])
        yield "" if [status for status, _ in came] == expected else f"answers {came}, in place of {expected}"


def _unprinted(blocks: list[Block], printed: dict[int, str]) -> Iterator[tuple[int, str]]:
    """List the blocks of output that the block before them did not print; blanks do not matter."""
    before = ""
    for block in blocks:
        if block.is_run:
            before = printed.get(block.line, "")
        elif block.is_printed and not _holds(before, block.text.split("…")):
            yield block.line, f"{block.text}but:\n{before}"


def _holds(text: str, parts: list[str]) -> bool:
    """Tell whether a text has these parts, one after the other, whatever blanks are in it and between them."""
    left = "".join(text.split())
    for part in ("".join(part.split()) for part in parts if part.strip()):
        _, found, left = left.partition(part)
        if not found:
            return False
    return True


@contextmanager
def product() -> Iterator[Reader]:
    """Run `make run` on fresh demo data in a folder of its own, and stop it as its supervisor is stopped.

    Raises:
        AssertionError: It does not start, or something of it outlives it.
    """
    folder = Path(tempfile.mkdtemp(prefix="carteira-docs-"))
    folder.chmod(0o711)  # PostgreSQL, which root does not run, has to pass through
    try:
        with _running(folder) as environment:
            yield _reader(folder, environment)
    finally:
        shutil.rmtree(folder)


@contextmanager
def _running(folder: Path) -> Iterator[dict[str, str]]:
    """Run the product, and return what the shell of a reader has to know of it."""
    log = folder / "make.log"
    environment = _environment(folder) | {"PORT": str(free_port()), "CARTEIRA_HOME": str(folder / "home")}
    with log.open("ab") as out:
        shell = subprocess.Popen(  # noqa: S603 - argv is ours
            ["bash", "-c", _WHILE_WE_LIVE],  # noqa: S607 - the system's
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    try:
        wait_until(lambda: _is_up(shell, log, environment["PORT"]), "the product is up", START_SECONDS)
        yield environment
    finally:
        family = psutil.Process(shell.pid).children(recursive=True) if shell.poll() is None else []
        shell.communicate()
        _, left = psutil.wait_procs(family, 60)
        for process in left:
            process.kill()
        assert not left, f"these outlived `make run`: {left}"


def _environment(folder: Path) -> dict[str, str]:
    (folder / ".curlrc").write_text(_CURLRC)
    ours = dict.fromkeys(("HOME", "CURL_HOME", "TMPDIR"), str(folder))
    patient = {"REQUEST_TIMEOUT_SECONDS": "120"}  # the assistant's first answer waits for its model
    return ours | patient | {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"}


def _is_up(shell: subprocess.Popen[bytes], log: Path, port: str) -> bool:
    assert shell.poll() is None, f"`make run` ended:\n{log.read_text()}"
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health/ready", timeout=5).is_success
    except httpx.TransportError:
        return False


def _reader(folder: Path, environment: dict[str, str]) -> Reader:
    """Make a folder that looks like the checkout, in which a page may leave files."""
    checkout = folder / "checkout"
    checkout.mkdir()
    for entry in ROOT.iterdir():
        if entry.name not in {".venv", ".carteira"}:
            (checkout / entry.name).symlink_to(entry)
    (checkout / ".venv").symlink_to(sys.prefix)
    (checkout / ".carteira").symlink_to(folder / "home")
    return Reader(checkout, environment)


def missing_tools() -> list[str]:
    """Name what a reader needs and this machine lacks."""
    return [name for name in ("bash", "curl", "make", "python3") if not shutil.which(name)]
