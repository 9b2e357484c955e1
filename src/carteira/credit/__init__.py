"""Credit: one CPF in three stores, each as safe and as fast as its data needs, and a score that explains itself.

It owns base A (PostgreSQL: name, address, debts; sealed), its log of accesses, base B (DynamoDB: age, assets, income)
and base C (Redis: last query, movement, last card purchase). Invariants:

- no store has a CPF in clear: A, B and C find a person by keyed hashes, a different one each, and A seals the rest;
- a ciphertext opens only in its table, row and column, under its key;
- base A is never opened before the look is in the log, with actor, purpose and instant; the log is only appended to,
  and each row's keyed hash covers the row before it;
- a change of A or B names the version that it was decided on;
- applying an event to base C again changes nothing;
- the score needs an age, an asset and an income; it is never guessed, and uses nothing else;
- a model never changes once it is stored; a new one scores after a second person approved it.

Sources: rules.md, credit; LGPD (Lei 13.709/2018); Lei 12.414/2011; ADR 0012.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

from fastapi import FastAPI

from carteira.credit import desk
from carteira.credit.aws import AwsAccess
from carteira.credit.base_a import count_by_key
from carteira.credit.base_b import FED_AT_ONCE
from carteira.credit.base_c import BureauQuery, Movement
from carteira.credit.export import ExportMismatch, MissingLibrary
from carteira.credit.ingest import EventSource, SubjectEvent, followers
from carteira.credit.kept_looks import KEPT_LOOKS, KeptLooks
from carteira.credit.keys import KMS, KeyFileInvalid, add_key, create_key_file, prepare_key, read_key_file
from carteira.credit.operations import (
    NotInProduction,
    export_items,
    export_people,
    feeding,
    generate_people,
    is_empty,
    rotate_keys,
    store_model,
    stored_models,
    table_answers,
    train_scorecard,
    verify_accesses,
)
from carteira.credit.stores import STORES, CreditConfig, ProvenCpf, Stores, no_proven_cpf
from carteira.credit.training import TooFewPeople
from carteira.credit.versions import CHOOSE, CreditModelOut
from carteira.kit.db.errors import DatabaseDown
from carteira.kit.module import Module
from carteira.kit.web.state import DATABASE, REDIS

__all__ = [
    "FED_AT_ONCE",
    "KMS",
    "STORES",
    "AwsAccess",
    "BureauQuery",
    "CreditConfig",
    "CreditModelOut",
    "EventSource",
    "ExportMismatch",
    "KeyFileInvalid",
    "MissingLibrary",
    "Movement",
    "NotInProduction",
    "ProvenCpf",
    "Stores",
    "SubjectEvent",
    "TooFewPeople",
    "add_key",
    "count_by_key",
    "create_key_file",
    "desk",
    "export_items",
    "export_people",
    "feeding",
    "followers",
    "generate_people",
    "is_empty",
    "module",
    "prepare_key",
    "read_key_file",
    "rotate_keys",
    "store_model",
    "stored_models",
    "table_answers",
    "train_scorecard",
    "verify_accesses",
]


def module(
    config: CreditConfig, *, proven_cpf: ProvenCpf = no_proven_cpf, sources: Sequence[EventSource] = ()
) -> Module:
    """Hand credit to the composition root; `sources` are other modules' events that feed base C."""
    from carteira.credit.routes import bulk_router, router
    from carteira.credit.routes_models import models_router

    stores = Stores(config, proven_cpf=proven_cpf)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        with suppress(DatabaseDown):  # the model in force is read again with the first score
            await stores.model.card(DATABASE.of(app).reads)
        async with stores.opened(REDIS.of(app)):
            STORES.set(app, stores)
            KEPT_LOOKS.set(app, KeptLooks(REDIS.of(app)))
            yield

    return Module(
        name="credit",
        routers=(bulk_router, models_router, router),
        followers=followers(stores, sources),
        lifespan=lifespan,
        operations=(CHOOSE,),
        ids_of_person=stores.ids_of_person,
        export_person=stores.export_person,
        erase_person=stores.erase_person,
        traces_of_person=stores.traces_of_person,
        erase_traces=stores.erase_traces,
    )
