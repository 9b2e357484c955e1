"""Every alert leads to a page that says what it means, where to look and what to do."""

import re

from tests.support.prometheus import MONITORING
from tests.support.source import ROOT

PAGES = ROOT / "docs" / "how-to" / "alerts"
RULES = re.split(r"^      - alert: ", (MONITORING / "alerts.yml").read_text(), flags=re.MULTILINE)[1:]


def page_of(alert: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "-", alert).lower() + ".md"


def test_each_rule_names_its_page() -> None:
    for rule in RULES:
        alert = rule.partition("\n")[0]
        assert re.findall(r"runbook_url: (\S+)", rule) == [f"docs/how-to/alerts/{page_of(alert)}"], alert
        assert re.search(r"severity: (page|ticket)\b", rule), alert
        assert 'summary: "' in rule, alert


def test_each_page_is_of_a_rule_and_says_what_to_do() -> None:
    alerts = {page_of(alert): alert for alert in (rule.partition("\n")[0] for rule in RULES)}
    pages = {path.name: path.read_text() for path in PAGES.glob("*.md")}
    listed = pages.pop("index.md")
    assert sorted(pages) == sorted(alerts)
    for name, text in pages.items():
        headings = re.findall(r"^#+ .*$", text, re.MULTILINE)
        assert headings == [f"# {alerts[name]}", "## Look", "## Do"], name
        assert f"| [{alerts[name]}]({name}) |" in listed
