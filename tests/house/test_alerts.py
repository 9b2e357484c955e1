"""Every alert links to a page that says what it means, where to look and what to do."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.prometheus import MONITORING
from tests.support.source import ROOT
from tools import dashboards

PAGES = ROOT / "docs" / "how-to" / "alerts"
METRICS = ROOT / "docs" / "reference" / "metrics.md"
RULES = re.split(r"^      - alert: ", (MONITORING / "alerts.yml").read_text(), flags=re.MULTILINE)[1:]


def page_of(alert: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "-", alert).lower() + ".md"


def test_each_rule_names_its_page() -> None:
    for rule in RULES:
        alert = rule.partition("\n")[0]
        assert re.findall(r"runbook_url: (\S+)", rule) == [f"docs/how-to/alerts/{page_of(alert)}"], alert
        assert re.search(r"severity: (page|ticket)\b", rule), alert
        assert 'summary: "' in rule, alert


def test_each_page_belongs_to_a_rule_and_has_instructions() -> None:
    alerts = {page_of(alert): alert for alert in (rule.partition("\n")[0] for rule in RULES)}
    pages = {path.name: path.read_text() for path in PAGES.glob("*.md")}
    listed = pages.pop("index.md")
    assert sorted(pages) == sorted(alerts)
    for name, text in pages.items():
        headings = re.findall(r"^#+ .*$", text, re.MULTILINE)
        assert headings == [f"# {alerts[name]}", "## Look", "## Do"], name
        assert f"| [{alerts[name]}]({name}) |" in listed


def promtool(*words: str | Path) -> str:
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("NO PROMTOOL: neither rules nor queries were checked (`make proxies`)")
    done = subprocess.run([program, *map(str, words)], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("trial", ["slo_fast", "slo_slow"])
def test_rules_fire_by_how_fast_a_budget_burns(trial: str) -> None:
    assert "SUCCESS" in promtool("test", "rules", ROOT / "tests" / "monitoring" / f"{trial}.yml")


def test_the_configuration_is_one_of_prometheus() -> None:
    promtool("check", "config", MONITORING / "prometheus.yml")


def test_the_dashboards_are_as_their_tool_writes_them() -> None:
    written = {path.stem: path.read_text() for path in dashboards.FOLDER.glob("*.json")}
    assert written == {one.name: dashboards.rendered(one) for one in dashboards.DASHBOARDS}, "run `make reference`"


def test_each_panel_is_whole_and_its_queries_are_queries(tmp_path: Path) -> None:
    panels = [panel for one in dashboards.DASHBOARDS for panel in one.panels]
    assert len({(panel.title, panel.queries[0]) for panel in panels}) == len(panels)
    queries = [query.replace("$__rate_interval", "1m") for panel in panels for query, _ in panel.queries]
    rules = [{"record": f"a:b:c{place}", "expr": query} for place, query in enumerate(queries)]
    file = tmp_path / "rules.yml"
    file.write_text(json.dumps({"groups": [{"name": "queries", "rules": rules}]}))  # JSON is YAML
    assert f"{len(queries)} rules found" in promtool("check", "rules", file)


def labels_of(query: str, known: dict[str, set[str]]) -> tuple[set[str], set[str]]:
    """Return the labels that a query names, and those that its metrics have."""
    named = {label for labels in re.findall(r"by \(([^)]*)\)", query) for label in labels.split(", ")}
    named |= {label for matchers in re.findall(r"\{([^}]*)\}", query) for label in re.findall(r"(\w+)=", matchers)}
    given = {"job", "instance", *(["service"] if "carteira:" in query else [])}
    for name, part in re.findall(r"\b(carteira_\w+?)(_bucket|_sum|_count)?\b", query):
        given |= known[name] | ({"le"} if part == "_bucket" else set())
    return named, given | set(re.findall(r'label_replace\(.*?, "(\w+)", "/', query))


def test_queries_and_legends_use_labels_of_their_metrics() -> None:
    rows = re.findall(r"^\| `(carteira_\w+)` \| \w+ \| (.*?) \|", METRICS.read_text(), re.MULTILINE)
    known = {name: set(re.findall(r"`(\w+)`", labels)) for name, labels in rows}
    for panel in (panel for one in dashboards.DASHBOARDS for panel in one.panels):
        for query, legend in panel.queries:
            named, given = labels_of(query, known)
            shown = set(re.findall(r"\{\{(\w+)\}\}", legend))
            assert named <= given, (panel.title, named - given)
            assert shown <= (named or given), (panel.title, legend)
    named, given = labels_of("sum by (code, cod) (carteira_a_total)", {"carteira_a_total": {"code"}})
    assert named - given == {"cod"}, "a misspelt label is found"


def test_rules_and_queries_use_existing_metrics() -> None:
    known = set(re.findall(r"`(carteira_\w+)`", METRICS.read_text()))
    rules = (MONITORING / "alerts.yml").read_text()
    texts = [rules, *(dashboards.rendered(one) for one in dashboards.DASHBOARDS)]
    used = set(re.findall(r"\bcarteira_\w+", "".join(texts)))
    assert {re.sub(r"_(bucket|sum|count)$", "", name) for name in used} - known == set()
    recorded = set(re.findall(r"record: (\S+)", rules))
    assert set(re.findall(r"\bcarteira:\w+:\w+", "".join(texts))) == recorded, "recorded, and gone by"
