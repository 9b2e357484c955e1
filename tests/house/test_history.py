"""The history reads as a list: each subject names its area and fits a line of `git log --oneline`."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.support.source import ROOT

LONGEST = 72
SINCE = "b0a269045851fae0b27c6fdcd78af7f2d085944b"
"""The last commit before this test: its history has longer subjects, and is not rewritten."""
AREA = re.compile(r"[a-zA-Z0-9_/, .()-]+: \S")


def git(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", *words], cwd=folder, check=False, capture_output=True, text=True)


def wrong_subjects(folder: Path, since: str) -> list[str]:
    """Return the subjects after a commit that are too long or name no area, without those of merges."""
    done = git(folder, "log", "--no-merges", "--format=%s", f"{since}..HEAD")
    assert done.returncode == 0, done.stderr
    return [line for line in done.stdout.splitlines() if len(line) > LONGEST or not AREA.match(line)]


def test_a_commits_subject_names_its_area_and_fits() -> None:
    if git(ROOT, "merge-base", "--is-ancestor", SINCE, "HEAD").returncode:
        pytest.skip(f"NO HISTORY SINCE {SINCE[:8]}: no subject was checked (an archive or a shallow clone)")
    assert not wrong_subjects(ROOT, SINCE)


def test_wrong_subjects_are_found(tmp_path: Path) -> None:
    identity = ("-c", "user.name=x", "-c", "user.email=x@example.com", "-c", "commit.gpgsign=false")
    longest = "docs: " + "é" * (LONGEST - len("docs: "))
    wrong = [f"{longest}é", "no area", "docs:"]
    assert git(tmp_path, "init", "--quiet").returncode == 0
    for subject in ("first", longest, *wrong):
        done = git(tmp_path, *identity, "commit", "--quiet", "--no-verify", "--allow-empty", "-m", subject)
        assert done.returncode == 0, done.stderr
    first = git(tmp_path, "rev-list", "--max-parents=0", "HEAD").stdout.strip()
    assert wrong_subjects(tmp_path, first) == wrong[::-1]
