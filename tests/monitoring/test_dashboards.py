"""Every query of every dashboard returns data from a real Prometheus that scrapes the running product."""

import re
from collections.abc import Iterator

import pytest

from tests.support.benefits import processor_headers
from tests.support.dashboards import NOT_COUNTED, QUERIES, Scene, happen, has_data, proofs, selectors
from tests.support.monitored import World, monitored
from tests.support.pix import standing_in
from tests.support.prometheus import is_installed
from tests.support.waiting import wait_until

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(180),
    pytest.mark.skipif(not is_installed(), reason="NO PROMETHEUS: no dashboard was seen to have data (`make proxies`)"),
]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    modules = "benefits,resellers,transit,documents,assistant,payments"
    with (
        standing_in(tmp_path_factory.mktemp("pix")) as provider,
        monitored(tmp_path_factory.mktemp("dashboards"), modules, **provider.settings()) as world,
    ):
        scene = Scene(world.client, world.operator, processor_headers(), provider.pages, world.run_job)
        for _ in range(2):
            happen(scene)
        cpf = {"cpf": "52998224725"}
        down = world.client.get("/cashback/accumulated", params=cpf, headers=world.operator)
        assert down.status_code == 503, down.text
        yield world


@pytest.mark.parametrize("expression", proofs())
def test_there_is_data(world: World, expression: str) -> None:
    wait_until(lambda: has_data(world.prometheus, expression), "there is data", 60)


def test_metrics_of_the_queries_exist(world: World) -> None:
    names = set(re.findall(r"\bcarteira_\w+", "\n".join(QUERIES)))
    wait_until(lambda: not missing(world, names), f"all are there: {missing(world, names)}", 60)


def missing(world: World, names: set[str]) -> set[str]:
    known = set(world.prometheus.ask("label/__name__/values"))
    return names - known - NOT_COUNTED


def test_a_selector_has_each_alternative_by_itself() -> None:
    query = 'sum(rate(carteira_a_total{status=~"5..",by=~"a|b"}[1m])) or on() vector(0)'
    assert selectors(query) == {f'carteira_a_total{{status=~"5..",by="{one}"}}' for one in "ab"}
    assert selectors('max(carteira_b) - carteira:c:ratio / up{job="x"}') == {
        "carteira_b",
        "carteira:c:ratio",
        'up{job="x"}',
    }
    kept = [one for one in proofs() if "vector(0)" in one]
    assert not [one for one in kept if not any(name in one for name in (*NOT_COUNTED, "reason"))]
