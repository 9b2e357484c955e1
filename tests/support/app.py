"""The whole application in this process, over real servers: all tests start it this way."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

import httpx
from fastapi import FastAPI
from procrastinate import App, Blueprint, PsycopgConnector

from carteira.app import access_key, blueprints_of, create_app, modules_of
from carteira.http_server.application import Application
from carteira.kit.db import jobs, outbox
from carteira.kit.db.engine import Database
from carteira.kit.security import tokens
from carteira.settings import Settings
from tests.support.client import client_of
from tests.support.horizon import pass_horizon
from tests.support.people import Person, random_address


@dataclass
class RunningApp:
    """A running application and a client at one address."""

    application: Application
    settings: Settings
    client: httpx.AsyncClient

    @property
    def api(self) -> FastAPI:
        return self.application.api

    @property
    def database(self) -> Database:
        database: Database = self.api.state.database
        return database

    def at(self, address: str) -> httpx.AsyncClient:
        """Return a client without cookies at an address."""
        return client_of(self.application, address=address)

    def token(self, *claims: str, user_id: UUID | None = None) -> str:
        """Return a developer's token with these claims."""
        return tokens.sign(
            access_key(self.settings),
            subject=str(user_id or uuid4()),
            ttl_seconds=600,
            claims={"claims": list(claims)},
        )

    def bearer(self, *claims: str, user_id: UUID | None = None) -> dict[str, str]:
        """Return the headers of a developer's token with these claims."""
        return {"Authorization": f"Bearer {self.token(*claims, user_id=user_id)}"}

    def person(self, *claims: str, user_id: UUID | None = None) -> Person:
        """Return a person (a new one, if not named) whose token has these claims."""
        user_id = user_id or uuid4()
        return Person(self.client, user_id, self.bearer(*claims, user_id=user_id))

    def operator(self) -> Person:
        """Return a new person who may do everything."""
        return self.person("*")

    async def work_off(self) -> None:
        """Do the worker's work: let the followers read what is new, and run the jobs that wait."""
        await pass_horizon(self.database)
        modules = modules_of(self.settings)
        for module in modules:
            for follower in module.followers:
                async with self.database.transaction() as tx:
                    while await outbox.follow(tx, follower):
                        pass
        async with jobs_app(self.settings.database(), blueprints_of(modules)).open_async() as app:
            await app.run_worker_async(
                wait=False,
                install_signal_handlers=False,
                delete_jobs="successful",
                additional_context={"database": self.database, "settings": self.settings},
            )


def jobs_app(url: str, blueprints: Mapping[str, Blueprint]) -> App:
    """Return procrastinate's application with the jobs of these modules."""
    app = App(connector=PsycopgConnector(conninfo=url, min_size=1, max_size=3))
    for name, blueprint in blueprints.items():
        jobs.add_tasks(app, blueprint, namespace=name)
    return app


def settings_for(home: Path, **values: object) -> Settings:
    """Return settings that no `.env` changes, without a Redis unless one is given."""
    return Settings(_env_file=None, **{"carteira_home": home, "redis_url": None} | values)  # type: ignore[arg-type] # settings of any kind


@asynccontextmanager
async def running_app(settings: Settings) -> AsyncIterator[RunningApp]:
    """Run an application until the end of the block."""
    application = create_app(settings)
    async with (
        application.api.router.lifespan_context(application.api),
        client_of(application, address=random_address()) as client,
    ):
        yield RunningApp(application, settings, client)
