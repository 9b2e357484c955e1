"""Shell blocks of the documentation, and the shell that runs a page's blocks in order, as a reader pastes them.

The first line of a block that runs says so, with the HTTP errors that it demonstrates: ```` ```sh run 409 ````. A block
that does not run gives its reason in a comment above, or in one comment for the whole page. Where an output block's
first line says `printed`, it is compared with the output of the block before; `…` stands for anything. Lines of `.env`
are in blocks of the language `dotenv`.
"""

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil  # type: ignore[import-untyped] # it has no types

from carteira.embedded import free_port
from carteira.kit.db.address import DatabaseAddress
from tests.support.source import ROOT
from tests.support.waiting import wait_until
from tools.psql import find_psql

SHELLS = {"sh", "bash", "shell", "console"}
TRANSLATIONS = ROOT / "docs" / "pt-BR"
ALERTS = ROOT / "docs" / "how-to" / "alerts"
"""Their commands are for the machine of an installation, whose settings an operator's shell has."""
YES = "s\n" * 3
"""The answers to a command's questions."""
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
"""Runs the product until this process's end of the pipe closes, as it does when a test is killed."""
_BLOCK = "== block"
_ANSWER = re.compile(r"^== HTTP (\d+) (.*)$", re.MULTILINE)
_CURLRC = 'write-out = "%{stderr}\\n== HTTP %{http_code} %{method} %{url_effective}\\n"\nmax-time = 120\n'
"""A page's own `-w` replaces it: such a page prints the status itself."""


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: its position, its language, the words after it, and the reason why it does not run, if any."""

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
    """Return each Portuguese text with the English one that it translates."""
    texts = [page for page in sorted(TRANSLATIONS.rglob("*.md")) if page != TRANSLATIONS / "index.md"]
    pages = {page: ROOT / "docs" / page.relative_to(TRANSLATIONS) for page in texts}
    return {ROOT / "README.pt-BR.md": ROOT / "README.md"} | pages


def pages_with_blocks() -> list[Path]:
    """Return README and the pages of `docs/` with shell blocks, without translations, which are compared instead."""
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
    """A reader in a checkout in which `make run` runs: their folder, and their shell's environment."""

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
        done = subprocess.run(
            ["bash", str(script)],
            cwd=self.folder,
            env=self.environment | (self.installation() if page.parent == ALERTS else {}),
            input=YES,
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

    def installation(self) -> dict[str, str]:
        """Return the settings in an operator's shell, and psql with the address of the tables' owner."""
        settings = json.loads((self.folder / ".carteira" / "runtime.json").read_text())["environment"]
        programs = Path(find_psql() or "/usr/bin/psql").parent
        owner = DatabaseAddress.parse(settings["MIGRATION_DATABASE_URL"])
        shell = {name: settings[name] for name in ("DATABASE_URL", "WORKER_PORT")}
        return shell | owner.variables | {"PATH": f"{programs}:{self.environment['PATH']}"}


def _unlike(blocks: list[Block], errors: list[str]) -> Iterator[str]:
    """Return for each block the errors that differ from those it announces."""
    for block, text in zip(blocks, errors, strict=False):
        came = [(status, what) for status, what in _ANSWER.findall(text) if int(status) >= 400]
        expected = list(block.words[1:])
        yield "" if [status for status, _ in came] == expected else f"answers {came}, in place of {expected}"


def _unprinted(blocks: list[Block], printed: dict[int, str]) -> Iterator[tuple[int, str]]:
    """Return the output blocks that the block before them did not print; whitespace does not count."""
    before = ""
    for block in blocks:
        if block.is_run:
            before = printed.get(block.line, "")
        elif block.is_printed and not _holds(before, block.text.split("…")):
            yield block.line, f"{block.text}but:\n{before}"


def _holds(text: str, parts: list[str]) -> bool:
    """Return whether a text has these parts, one after the other, whatever whitespace lies within and between."""
    left = "".join(text.split())
    for part in ("".join(part.split()) for part in parts if part.strip()):
        _, found, left = left.partition(part)
        if not found:
            return False
    return True


@contextmanager
def product() -> Iterator[Reader]:
    """Run `make run` on fresh demo data in its own folder, and stop it as its supervisor is stopped.

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
    """Run the product, and return the environment that a reader's shell needs."""
    log = folder / "make.log"
    environment = _environment(folder) | {"PORT": str(free_port()), "CARTEIRA_HOME": str(folder / "home")}
    with log.open("ab") as out:
        shell = subprocess.Popen(
            ["bash", "-c", _WHILE_WE_LIVE],
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


def replaced(text: str, given: Mapping[str, str]) -> str:
    """Return a page's text with some of its parts, each of which it has once, replaced by a test's own."""
    for part, own in given.items():
        assert text.count(part) == 1, (part, text)
        text = text.replace(part, own)
    return text


def missing_tools() -> list[str]:
    """Return the tools that a reader needs and this machine lacks."""
    return [name for name in ("bash", "curl", "make", "python3") if not shutil.which(name)]


def script_of(page: Path, left_out: int) -> str:
    """Return a page's `sh` blocks as one script that ends at the first command that fails.

    The page's other shell blocks, in `console`, are as many as said, and each is followed by the reason.
    """
    ours = blocks_to_paste(page, left_out)
    return "set -euo pipefail\n" + "".join(f"echo '== block {at}'\n{text}" for at, text in enumerate(ours, 1))


def blocks_to_paste(page: Path, left_out: int) -> list[str]:
    """Return a page's `sh` blocks; its `console` blocks are as many as said, each followed by the reason."""
    reasons = re.findall(r"\(Left out: ", page.read_text())
    blocks = blocks_of(page)
    assert len([one for one in blocks if one.language == "console"]) == len(reasons) == left_out
    return [block.text for block in blocks if block.language == "sh"]


_PASTED = 'set -euo pipefail; exec 3<&0 </dev/null; while read -r block <&3; do . "$block"; touch "$block.done"; done'


class Terminal:
    """A shell that runs one block after the other, and ends at the first command that fails.

    Attributes:
        told: What it printed, errors included.
    """

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._folder = folder / "pasted"
        self._folder.mkdir()
        self._output = self._folder / "output"
        with self._output.open("w") as output:
            self._shell = subprocess.Popen(
                ["bash", "-c", _PASTED],
                cwd=folder,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                text=True,
            )
        self._blocks = 0

    @property
    def told(self) -> str:
        return self._output.read_text()

    def paste(self, block: str, seconds: float) -> str:
        """Run a block; return what it printed.

        Raises:
            AssertionError: one of its commands failed, or it took longer.
        """
        before, file = len(self.told), self._folder / str(self._blocks)
        self._blocks += 1
        file.write_text(block)
        assert self._shell.stdin is not None
        self._shell.stdin.write(f"{file}\n")
        self._shell.stdin.flush()
        done = file.with_suffix(".done")
        wait_until(lambda: done.exists() or self._shell.poll() is not None, f"ended: {block[:80]}", seconds)
        assert done.exists(), f"{block}\n{self.told[before:][-5000:]}"
        return self.told[before:]

    def close(self) -> None:
        """End the shell."""
        self._shell.communicate()
