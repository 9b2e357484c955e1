"""What the worker does, done here and now: the jobs that wait, and a turn of every follower."""

import re
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

from procrastinate import App, PsycopgConnector

from carteira.app import modules_of
from carteira.kit.db import jobs, outbox
from carteira.kit.db.engine import Database
from carteira.settings import Settings


async def work_off(settings: Settings, database: Database) -> None:
    """Let the followers read what is new, and run the jobs that wait."""
    modules = modules_of(settings)
    for module in modules:
        for follower in module.followers:
            async with database.transaction() as tx:
                while await outbox.follow(tx, follower):
                    pass
    app = App(connector=PsycopgConnector(conninfo=settings.database(), min_size=1, max_size=2))
    for module in modules:
        if module.jobs is not None:
            jobs.add_tasks(app, module.jobs, namespace=module.name)
    async with app.open_async():
        await app.run_worker_async(
            wait=False,
            install_signal_handlers=False,
            delete_jobs="successful",
            additional_context={"database": database, "settings": settings},
        )


def mail_to(maildir: str, address: str) -> list[EmailMessage]:
    """Give the e-mails that came for an address, oldest first."""
    found = []
    for file in sorted(Path(maildir, "new").iterdir(), key=lambda path: path.stat().st_mtime_ns):
        message = message_from_bytes(file.read_bytes(), policy=policy.default)
        assert isinstance(message, EmailMessage)
        if message["To"] == address:
            found.append(message)
    return found


def parts_of(message: EmailMessage) -> tuple[str, str]:
    """Give an e-mail's text and its HTML."""
    text, html = message.get_body(("plain",)), message.get_body(("html",))
    assert text is not None
    assert html is not None
    return text.get_content(), html.get_content()


def code_in(text: str, digits: int) -> str:
    """Find the code that a message carries."""
    found = re.search(rf"\b[0-9]{{{digits}}}\b", text)
    assert found, text
    return found[0]
