"""Jobs: work put off to the worker, deferred in the transaction that asks for it (procrastinate's tables)."""

from copy import deepcopy
from datetime import datetime
from typing import Any

import orjson
from procrastinate import App, Blueprint
from sqlalchemy import text

from carteira.kit.db.session import Tx

_DEFER = text("""
    SELECT procrastinate_defer_jobs_v1(ARRAY[ROW(
        'default', CAST(:task AS text), 0, CAST(:lock AS text), CAST(:queueing_lock AS text),
        CAST(:args AS jsonb), CAST(:scheduled_at AS timestamptz)
    )::procrastinate_job_to_defer_v1])
""")


async def defer(
    tx: Tx,
    task: str,
    *,
    lock: str | None = None,
    queueing_lock: str | None = None,
    scheduled_at: datetime | None = None,
    **args: Any,  # noqa: ANN401 - a job's arguments are any JSON
) -> None:
    """Put a job (`module:task`) into the queue when the transaction commits.

    Jobs with one `lock` run one after the other; only one job with a `queueing_lock` waits at a time, and a second
    one raises `sqlalchemy.exc.IntegrityError`.
    """
    await tx.execute(
        _DEFER,
        {
            "task": task,
            "lock": lock,
            "queueing_lock": queueing_lock,
            "args": orjson.dumps(args).decode(),
            "scheduled_at": scheduled_at,
        },
    )


def add_tasks(app: App, blueprint: Blueprint, *, namespace: str) -> None:
    """Give an application a module's jobs, as often as applications are made of them.

    procrastinate renames the blueprint's own tasks: a second application would find none under their names.
    """
    app.add_tasks_from(deepcopy(blueprint), namespace=namespace)
