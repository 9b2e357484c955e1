"""The table of security controls has each requirement once, and the tests that such pages name exist."""

import re
from collections import Counter
from pathlib import Path

import pytest

from tests.support.source import ROOT

PAGE = ROOT / "docs" / "reference" / "asvs.md"
STATES = {"yes", "partly", "not yet", "otherwise", "operator", "—"}
ROW = re.compile(r"^\| (\d+\.\d+\.\d+) \| (.+?) \| (.+?) \| (.+) \|$", re.MULTILINE)
PROOF = re.compile(r"`([\w/]+\.py)::(test_\w+)`")
LINK = re.compile(r"\[[^\[\]]*\]\([^)]*\)")
SECTIONS = """
1.1=2 1.2=9 1.3=11 1.4=3 1.5=2 2.1=3 2.2=3 2.3=4 2.4=1 3.2=2 3.3=4 3.4=6 3.5=5 3.7=2 4.1=3 4.2=1 4.3=2 4.4=4
5.1=1 5.2=3 5.3=2 5.4=3 6.1=3 6.2=12 6.3=4 6.4=4 6.5=5 6.6=3 6.8=4 7.1=3 7.2=4 7.3=2 7.4=5 7.5=2 7.6=2
8.1=2 8.2=3 8.3=1 8.4=1 9.1=3 9.2=4 10.1=2 10.2=2 10.3=4 10.4=11 10.5=5 10.6=2 10.7=3
11.1=2 11.2=3 11.3=3 11.4=4 11.5=1 11.6=1 12.1=3 12.2=2 12.3=4 13.1=1 13.2=5 13.3=2 13.4=5
14.1=2 14.2=4 14.3=3 15.1=3 15.2=3 15.3=7 16.1=1 16.2=5 16.3=4 16.4=3 16.5=3 17.1=1 17.2=4 17.3=2
"""
"""Levels 1 and 2 of OWASP ASVS 5.0.0: how many come first in each section, numbered
without a hole."""


def rows() -> list[tuple[str, str, str]]:
    """Return each row's number, state and proof."""
    return [(number, state, proof) for number, _, state, proof in ROW.findall(PAGE.read_text())]


def test_each_requirement_stands_in_the_table_once() -> None:
    sections = [section.split("=") for section in SECTIONS.split()]
    wanted = [f"{section}.{number}" for section, last in sections for number in range(1, int(last) + 1)]
    assert len(wanted) == 253, "70 of level 1 and 183 of level 2"
    assert Counter(number for number, *_ in rows()) == Counter(wanted)


def test_each_row_has_a_state_and_a_proof_that_fits_it() -> None:
    assert {state for _, state, _ in rows()} <= STATES
    unproven = [
        number for number, state, proof in rows() if state == "yes" and not (PROOF.search(proof) or "[" in proof)
    ]
    assert not unproven, "an implemented control names its test, or says in brackets why it needs none"


@pytest.mark.parametrize("page", ["reference/asvs.md", "reference/data.md", "explanation/security.md"])
def test_each_test_that_a_page_names_exists(page: str) -> None:
    text = (ROOT / "docs" / page).read_text()
    named = PROOF.findall(text)
    assert named
    assert not [f"{file}::{test}" for file, test in named if not _has(ROOT / "tests" / file, test)]
    assert len(named) == text.count("::test_"), "each test is named with its file"


def test_security_claims_name_their_proofs() -> None:
    text = (ROOT / "docs" / "explanation" / "security.md").read_text()
    said = re.findall(r"^- \*\*.+?(?=\n- |\n\n)", text, re.MULTILINE | re.DOTALL)
    assert len(said) > 5
    assert not [one for one in said if not PROOF.search(one)]


def _has(file: Path, test: str) -> bool:
    return file.is_file() and re.search(rf"^(async )?def {test}\(", file.read_text(), re.MULTILINE) is not None
