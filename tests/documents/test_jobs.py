from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from procrastinate import App
from sqlalchemy import text

from carteira.documents import Vault, jobs
from carteira.kit.values.clock import clock
from tests.support import files
from tests.support.app import RunningApp, jobs_app
from tests.support.documents import StoredBytes, upload
from tests.support.people import register


@pytest.fixture
async def queue(vault: Vault, papers_url: str) -> AsyncIterator[App]:
    async with jobs_app(papers_url, {"documents": jobs.blueprint(vault)}).open_async() as app:
        yield app


async def work_off(queue: App, app: RunningApp) -> None:
    await queue.run_worker_async(
        wait=False,
        concurrency=1,
        install_signal_handlers=False,
        additional_context={"database": app.database},
    )


async def make_due(app: RunningApp) -> None:
    """Make due whatever waits for its day."""
    async with app.database.transaction() as tx:
        await tx.execute(text("UPDATE procrastinate_jobs SET scheduled_at = now() WHERE status = 'todo'"))


async def test_the_bytes_of_a_deleted_document_go_away(app: RunningApp, stored: StoredBytes, queue: App) -> None:
    await make_due(app)  # deleted by earlier tests
    await work_off(queue, app)
    before = stored()
    person = app.person()
    document_id = (await upload(person, files.pdf(600_000))).json()["id"]
    await person.client.delete(f"/documents/{document_id}", headers=person.headers)
    with_it = stored()
    assert with_it != before
    clock.advance(timedelta(hours=2))
    await queue.configure_task("documents:remove_orphans").defer_async(timestamp=0)
    await work_off(queue, app)
    assert stored() == with_it, "a running backup may still copy them"
    async with app.database.transaction() as tx:
        (due,) = await tx.scalars(
            text(
                "SELECT scheduled_at > now() + interval '23 hours' FROM procrastinate_jobs"
                " WHERE task_name = 'documents:remove_files' AND status = 'todo'"
            )
        )
        assert due
    await make_due(app)
    await work_off(queue, app)
    assert stored() == before


async def test_the_bytes_of_an_erased_person_go_away_at_once(app: RunningApp, stored: StoredBytes, queue: App) -> None:
    await work_off(queue, app)
    before = stored()
    person = await register(app)
    assert (await upload(person, files.pdf(600_000))).status_code == 201
    assert (await person.call("DELETE", f"/users/{person.id}")).status_code == 204
    await work_off(queue, app)
    assert stored() == before


async def test_the_daily_job_notifies_of_expiring_documents(app: RunningApp, queue: App) -> None:
    person = app.person()
    soon = (clock.today() + timedelta(days=5)).isoformat()
    document_id = (await upload(person, files.pdf(), expires_on=soon)).json()["id"]
    for _ in range(2):
        await queue.configure_task("documents:remind_expiring").defer_async(timestamp=0)
        await queue.configure_task("documents:remove_orphans").defer_async(timestamp=0)
        await work_off(queue, app)
    async with app.database.transaction() as tx:
        told = await tx.scalars(
            text("SELECT payload FROM events WHERE topic = 'documents.expiring' AND payload ->> 'document_id' = :id"),
            {"id": document_id},
        )
    assert [(event["user_id"], event["days_left"]) for event in told] == [(str(person.id), 5)]
