"""Real workers: hanging endpoints do not block others, and a killed worker loses nothing."""

from sqlalchemy import text

from carteira.embedded import Endpoints
from tests.support.app import RunningApp
from tests.support.people import Person, register
from tests.support.receiver import Received, Receiver, receiving
from tests.support.waiting import until
from tests.support.webhooks import new_hook, open_account, pass_time
from tests.support.worker import running_worker

OPENED = "benefits.account_opened"
HANG = 6
"""More endpoints than the worker has places for other jobs."""


def hangs(_request: Received) -> str | None:
    return None


async def test_endpoints_that_hang_delay_nobody_and_a_worker_that_is_killed_loses_nothing(
    app: RunningApp, operator: Person, endpoints: Endpoints, receiver: Receiver
) -> None:
    settings = {
        "database_url": app.settings.database(),
        "redis_url": endpoints.redis_url,
        "smtp_url": endpoints.smtp_url,
        "carteira_modules": app.settings.carteira_modules,
    }
    hanging = [await new_hook(operator, f"{receiver.url}?{number}", OPENED) for number in range(HANG)]
    receiver.answer = hangs
    async with receiving() as other:
        prompt = await new_hook(operator, other.url, OPENED)
        account = await open_account(operator)
        with running_worker(app.settings.carteira_home, **settings) as worker:
            await until(lambda: len(receiver.requests) == HANG, "all that hang were called")
            await until(lambda: len(other.requests) == 1, "the other one was told")
            await open_account(operator)
            await register(app)
            await until(lambda: len(other.requests) == 2, "it was told again while the others hang")
            await _until_no_job_waits(app)
            worker.process.kill()
            worker.process.wait()
        assert {one.target for one in receiver.requests} == {f"/carteira?{number}" for number in range(HANG)}
        assert other.requests[0].verified(prompt.secret)["data"]["account"] == account  # type: ignore[index] # JSON

        receiver.forget()
        receiver.answer = lambda _request: "204 No Content"
        async with app.database.transaction() as tx:
            await tx.execute(text("UPDATE procrastinate_workers SET last_heartbeat = now() - interval '1 hour'"))
        await pass_time(app)
        with running_worker(app.settings.carteira_home, **settings) as worker:
            await until(lambda: len({(one.target, one.id) for one in receiver.requests}) == 2 * HANG, "all were told")
            assert worker.stop() == 0
    for hook in hanging:
        assert {one["state"] for one in await hook.deliveries()} == {"delivered"}


async def _until_no_job_waits(app: RunningApp) -> None:
    """Wait until the worker has done all jobs but deliveries."""
    query = text("SELECT count(*) FROM procrastinate_jobs WHERE queue_name = 'default' AND status <> 'failed'")
    left = 1
    while left:
        async with app.database.transaction() as tx:
            left = (await tx.scalar(query)) or 0
