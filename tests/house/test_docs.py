"""The documentation is consistent: the index reaches every page, links resolve, decisions have one form."""

import re
from pathlib import Path

import pytest

from tests.support.contract import openapi_document
from tests.support.guides import TRANSLATIONS, translated_pages
from tests.support.source import ROOT, files_of_the_house

DOCS = ROOT / "docs"
INDEX = DOCS / "index.md"
PAGES = sorted(DOCS.rglob("*.md"))
TEXTS = [path for path in files_of_the_house() if path.suffix == ".md"]
DECISIONS = sorted((DOCS / "adr").glob("[0-9]*.md"))
HEADINGS = re.findall(r"^## .+$", (DOCS / "adr" / "template.md").read_text(), re.MULTILINE)
WIDTH = 120
WRAPPED = [
    *PAGES,
    *(
        ROOT / name
        for name in (
            "README.md",
            "README.pt-BR.md",
            "ARCHITECTURE.md",
            "CONTRIBUTING.md",
            "SECURITY.md",
            "CHANGELOG.md",
            "benchmarks/README.md",
        )
    ),
]


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def prose_of(text: str) -> str:
    """Return the text without blocks of code, with its line numbers unchanged."""
    return re.sub(r"^ *```.*?^ *```$", lambda block: "\n" * block[0].count("\n"), text, flags=re.MULTILINE | re.DOTALL)


def links_of(path: Path) -> list[tuple[Path, str]]:
    """Return the files and anchors in this repository that a text links to."""
    prose = re.sub(r"`[^`\n]+`", "", prose_of(path.read_text()))
    targets = re.findall(r"\]\(([^)\s]+)\)", prose)
    inside = [target.partition("#") for target in targets if not re.match(r"[a-z]+:", target)]
    return [((path.parent / file).resolve() if file else path, anchor) for file, _, anchor in inside]


def anchors_of(path: Path) -> set[str]:
    """Return the anchors of a text's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", prose_of(path.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def field(decision: str, name: str, pattern: str) -> str:
    found = re.search(rf"^- {name}: ({pattern})$", decision, re.MULTILINE)
    assert found, f"no {name}"
    return found[1]


def test_every_page_is_reached_from_the_index() -> None:
    reached, next_ones = {INDEX}, [INDEX]
    while next_ones:
        found = {file for file, _ in links_of(next_ones.pop()) if file.suffix == ".md" and file.is_file()}
        next_ones += found - reached
        reached |= found
    assert not [name_of(page) for page in PAGES if page not in reached]


@pytest.mark.parametrize("path", TEXTS, ids=name_of)
def test_every_link_leads_somewhere(path: Path) -> None:
    links = links_of(path)
    assert not [str(file) for file, _ in links if not file.exists()]
    assert not [f"{file.name}#{anchor}" for file, anchor in links if anchor and anchor not in anchors_of(file)]


@pytest.mark.parametrize("path", WRAPPED, ids=name_of)
def test_prose_is_wrapped(path: Path) -> None:
    """Tables, code, and lines that consist of one link may be wider."""
    lines = enumerate(prose_of(path.read_text()).splitlines(), 1)
    wide = [
        number for number, line in lines if len(line) > WIDTH and not re.match(r"\s*(\||(- )?\[\S+\]\(\S+\)$)", line)
    ]
    assert not wide


@pytest.mark.parametrize(("folder", "words"), [("how-to", "# How to "), ("pt-BR/how-to", "# Como ")])
def test_a_guide_is_titled_by_what_it_helps_to_do(folder: str, words: str) -> None:
    """An alert's page has the name of the alert."""
    assert not [page.name for page in (DOCS / folder).glob("*.md") if not page.read_text().startswith(words)]


def test_decisions_are_numbered_without_holes() -> None:
    assert [path.name[:4] for path in DECISIONS] == [f"{number:04d}" for number in range(1, len(DECISIONS) + 1)]


@pytest.mark.parametrize("path", DECISIONS, ids=name_of)
def test_a_decision_has_the_templates_form(path: Path) -> None:
    text = path.read_text()
    title = re.match(rf"# {path.name[:4]}\. (.+)\n", text)
    assert title, "the first line is '# NNNN. title'"
    status = field(text, "Status", r"proposed|accepted|superseded by \d{4}")
    date = field(text, "Date", r"20\d\d-\d\d-\d\d")
    headings = [line for line in re.findall(r"^## .+$", text, re.MULTILINE) if line in HEADINGS]
    assert headings == HEADINGS
    assert f"| [{path.name[:4]}]({path.name}) | {title[1]} | {status} | {date} |" in (DOCS / "adr/index.md").read_text()


def test_every_route_is_in_the_reference() -> None:
    """A path's parameters may have other names in the text."""
    paths = openapi_document()["paths"]
    served = {
        (method.upper(), re.sub(r"\{\w+\}", "{}", path)) for path, operations in paths.items() for method in operations
    }
    rows = "\n".join(page.read_text() for page in (DOCS / "reference").glob("*.md") if page.name != "contract.md")
    told = {
        (method, re.sub(r"\{\w+\}", "{}", path))
        for method, path in re.findall(r"^\| `(GET|POST|PUT|PATCH|DELETE) (/[^`]*)` \|", rows, re.MULTILINE)
    }
    hidden = {("GET", path) for path in ("/metrics", "/openapi.json", "/docs", "/redoc")}
    assert told == served | hidden


def test_every_test_that_is_named_as_a_proof_exists() -> None:
    named = set(re.findall(r"::(test_\w+)", "\n".join(page.read_text() for page in PAGES)))
    written = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    assert named
    assert named <= set(re.findall(r"^(?:async )?def (test_\w+)", written, re.MULTILINE))


TRANSLATED = translated_pages()
"""The texts in Portuguese, each with the English text that it translates."""
ENGLISH = {page.resolve(): original for page, original in (TRANSLATED | {TRANSLATIONS / "index.md": INDEX}).items()}
"""The same by the page, with the Portuguese index, which lists other pages than the English one."""


def shape_of(page: Path) -> dict[str, list[str]]:
    """Return what a text and its translation share: headings by level, commands, targets of links and tables."""
    text = page.read_text()
    blocks = re.findall(r"^ *```.*?^ *```$", text, re.MULTILINE | re.DOTALL)
    code = [re.sub(r"(^|\s+)# .*$", "", line) for block in blocks for line in block.splitlines()]
    prose = prose_of(text)
    files = [ENGLISH.get(file, file).relative_to(ROOT).as_posix() for file, _ in links_of(page)]
    return {
        "headings": re.findall(r"^(#+) ", prose, re.MULTILINE),
        "code": [line for line in code if line],
        "rows": re.findall(r"^\| (`[^|]+`) \|", prose, re.MULTILINE),
        "links": sorted(file for file in files if file != name_of(TRANSLATED.get(page, page))),
        "addresses": sorted(re.findall(r"\]\((https?:[^)\s]+)\)", prose)),
    }


@pytest.mark.parametrize("translated", TRANSLATED, ids=name_of)
def test_a_translation_keeps_step(translated: Path) -> None:
    assert shape_of(translated) == shape_of(TRANSLATED[translated])


@pytest.mark.parametrize("translated", TRANSLATED, ids=name_of)
def test_a_translation_links_to_translations(translated: Path) -> None:
    there = {original.resolve() for original in TRANSLATED.values()} - {TRANSLATED[translated].resolve()}
    assert [name_of(file) for file, _ in links_of(translated) if file in there] == []


COMMENT = re.compile(r"(?:^|\s)# (.*[a-z].*)$", re.MULTILINE)
SAID_ALIKE = re.compile(r"\d+ (blocos|lançamentos)\b.*|[a-z_]+(, [a-z_]+)*")
"""What the product prints, in Portuguese on both pages, and names of fields."""


def comments_of(page: Path) -> set[str]:
    blocks = re.findall(r"^ *```.*?^ *```$", page.read_text(), re.MULTILINE | re.DOTALL)
    return {comment for block in blocks for comment in COMMENT.findall(block)}


@pytest.mark.parametrize("translated", TRANSLATED, ids=name_of)
def test_comments_of_commands_are_translated_too(translated: Path) -> None:
    left = comments_of(translated) & comments_of(TRANSLATED[translated])
    assert not [comment for comment in left if not SAID_ALIKE.fullmatch(comment)]
