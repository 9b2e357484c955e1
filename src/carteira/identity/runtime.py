"""The runtime of identity's verbs in one server process, made in the lifespan and kept under `RUNTIME`."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Request

from carteira.identity.config import IdentityConfig
from carteira.identity.erasures import ErasureJournal
from carteira.identity.proof.service import CpfFollower
from carteira.identity.sessions.cookies import SessionCookies
from carteira.identity.sessions.standing import SessionStandings
from carteira.identity.social.providers import Provider, ProviderName
from carteira.identity.trail.queries import IdsOf
from carteira.identity.users.passwords import PARALLEL_CHECKS, PARALLEL_HASHES, WAITING_CHECKS, WAITING_HASHES
from carteira.kit.db.engine import Database
from carteira.kit.db.session import Tx
from carteira.kit.ops.turns import Turns
from carteira.kit.security.rate_limits import Limiter
from carteira.kit.security.sealing import KeyedDigest, Sealer
from carteira.kit.security.tokens import SigningKeys
from carteira.kit.web.access import Principal
from carteira.kit.web.state import StateKey

Exporter = Callable[[Tx, UUID], Awaitable[Mapping[str, Any]]]
Eraser = Callable[[Tx, UUID], Awaitable[None]]
TraceEraser = Callable[[Tx, Mapping[str, Any]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Changing:
    """The parts that a change of a person needs from the process, or from the operation that carries it out later."""

    sealer: Sealer
    wait: timedelta
    """For how long the former contact point still recovers the account."""
    cpf_followers: Sequence[CpfFollower] = ()


@dataclass(frozen=True)
class Runtime:
    """Identity in a process."""

    config: IdentityConfig
    database: Database
    ring: SigningKeys
    access: SessionStandings
    cookies: SessionCookies
    limiter: Limiter
    sealer: Sealer
    strangers: KeyedDigest
    """Makes the pseudonyms of unknown names."""
    exporters: Mapping[str, Exporter]
    erasers: Mapping[str, Eraser]
    refusals: Sequence[Eraser] = ()
    """The modules' checks before an erasure."""
    tracers: Mapping[str, Exporter] = field(default_factory=dict)
    """The modules' traces of a person."""
    trace_erasers: Mapping[str, TraceEraser] = field(default_factory=dict)
    journal: ErasureJournal | None = None
    """The journal of erasures, outside of the database."""
    looks: Mapping[str, str] = field(default_factory=dict)
    """The words for looks by others, by the action in the audit."""
    ids_of: Sequence[IdsOf] = ()
    """For modules that record looks at a person under other ids than the user's."""
    cpf_followers: Sequence[CpfFollower] = ()
    """Modules that keep a person's CPF beside their own rows."""
    providers: Mapping[ProviderName, Provider] = field(default_factory=dict)
    """The providers at which people may sign in."""
    guesses: Turns = field(default_factory=lambda: Turns("sign_in", at_once=PARALLEL_CHECKS, waiting=WAITING_CHECKS))
    """The queue of password checks; each checks its limit when it starts, so that a burst cannot exceed it."""
    registrations: Turns = field(
        default_factory=lambda: Turns("registration", at_once=PARALLEL_HASHES, waiting=WAITING_HASHES)
    )
    """The queue of registrations, whose passwords are hashed."""

    @property
    def changing(self) -> Changing:
        """Return the parts that a change of a person needs."""
        wait = timedelta(hours=self.config.contact_change_hours)
        return Changing(self.sealer, wait, self.cpf_followers)


RUNTIME = StateKey[Runtime]("identity")


async def authenticate(request: Request, token: str) -> Principal:
    """Return the principal of a bearer token (`AUTHENTICATE`)."""
    return await RUNTIME.of(request.app).access.authenticate(request, token)


IdentityDep = Annotated[Runtime, Depends(RUNTIME)]
"""A route parameter: identity's runtime."""
