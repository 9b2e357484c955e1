"""Periodic jobs run when their cron line says: its sixth field is the seconds."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from smtplib import SMTPServerDisconnected

import pytest
from procrastinate import App
from procrastinate.testing import InMemoryConnector
from sqlalchemy.exc import IntegrityError

from carteira.app import blueprints_of, modules_of
from carteira.documents.errors import StorageDown
from carteira.kit.db import jobs
from carteira.kit.db.errors import CommitUnknown
from carteira.kit.outbound.http import ServiceDown
from carteira.kit.outbound.mail import MailNotConfigured
from carteira.kit.outbound.objects import ObjectsDown
from carteira.modules import OPTIONAL_MODULES
from carteira.payments.provider import PaymentProviderDown
from carteira.web.console.job_words import FAILURES, JOBS, failure_name
from tests.support.app import settings_for

pytestmark = pytest.mark.unit

START = datetime(2026, 3, 10, 11, 59, 58, tzinfo=UTC)
EVERY = {
    "kit:expire_pending": timedelta(minutes=1),
    "notices:tell_approvers": timedelta(minutes=10),
    "benefits:credit_scheduled": timedelta(minutes=10),
    "benefits:take_up_imports": timedelta(minutes=10),
    "webhooks:look_after": timedelta(minutes=1),
    "assistant:forget_stale": timedelta(minutes=10),
    "ledger:expire_holds": timedelta(seconds=30),
    "ledger:roll_up": timedelta(seconds=30),
    "payments:poll": timedelta(seconds=30),
    "documents:remove_orphans": timedelta(hours=1),
    "identity:confirm_erasures": timedelta(hours=1),
    "partitions:make": timedelta(hours=1),
    "resellers:close_due_months": timedelta(hours=1),
}
"""The interval of each job that does not run once a day."""


def test_every_periodic_job_runs_as_often_as_it_is_meant_to(tmp_path: Path) -> None:
    app = App(connector=InMemoryConnector())
    for name, blueprint in blueprints_of(modules_of(settings_for(tmp_path))).items():
        jobs.add_tasks(app, blueprint, namespace=name)
    periodic = app.periodic_registry.periodic_tasks.values()
    assert {*EVERY} <= {job.task.name for job in periodic}
    for job in periodic:
        ticks = [START]
        for _ in range(8):
            ticks.append(job.croniter.get_next(ret_type=datetime, start_time=ticks[-1]))
        gaps = {later - earlier for earlier, later in pairwise(ticks[1:])}
        assert (job.task.name, gaps) == (job.task.name, {EVERY.get(job.task.name, timedelta(days=1))})


def test_every_job_has_words_on_the_console(tmp_path: Path) -> None:
    modules = modules_of(settings_for(tmp_path, carteira_modules=",".join(sorted(OPTIONAL_MODULES))))
    app = App(connector=InMemoryConnector())
    for name, blueprint in blueprints_of(modules).items():
        jobs.add_tasks(app, blueprint, namespace=name)
    assert {name for name in app.tasks if not name.startswith("builtin:") and "procrastinate" not in name} == set(JOBS)


def test_a_failure_is_told_by_its_class_or_the_nearest_one_above_it() -> None:
    known = {
        MailNotConfigured: "MailNotConfigured",
        SMTPServerDisconnected: "SMTPException",
        ObjectsDown: "ObjectsDown",
        PaymentProviderDown: "PaymentProviderDown",
        CommitUnknown: "DatabaseDown",
        IntegrityError: "DBAPIError",
        StorageDown: "DependencyDown",
        ServiceDown: "ServiceDown",
        TimeoutError: "TimeoutError",
        ConnectionResetError: "OSError",
        TypeError: "TypeError",
    }
    assert set(known.values()) == set(FAILURES)
    for kind, name in known.items():
        assert failure_name([one.__name__ for one in kind.__mro__]) == FAILURES[name], kind
    assert failure_name(["LookupError"]) == "Um erro sem nome conhecido; ele está inteiro no log"
    assert failure_name([]).startswith("Sem causa anotada: o worker parou no meio, ou foi antes desta versão")
