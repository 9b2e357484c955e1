"""Jobs keep their names however often the queue's worker begins again."""

import pytest
from procrastinate import App, Blueprint
from procrastinate.testing import InMemoryConnector

from carteira.kit.db import jobs


@pytest.mark.unit
def test_a_second_application_knows_the_jobs_by_the_same_names() -> None:
    blueprint = Blueprint()

    @blueprint.periodic(cron="0 * * * *")
    @blueprint.task(name="sweep", queueing_lock="module.sweep")
    async def sweep(timestamp: int) -> None:
        assert timestamp

    for _ in range(2):
        app = App(connector=InMemoryConnector())
        jobs.add_tasks(app, blueprint, namespace="module")
        assert app.tasks["module:sweep"].name == "module:sweep"
        assert [periodic.task.name for periodic in app.periodic_registry.periodic_tasks.values()] == ["module:sweep"]
