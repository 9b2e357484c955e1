"""Identity: people, how they sign in, their rights in the product, and their rights under the LGPD.

It owns users, clients (machines), roles, claims, sessions, second factors, passkeys, accounts at providers, password
recovery, consents and the audit. Invariants:

- e-mail addresses (regardless of case) and CPFs are unique; a person's id is never reused, not even after erasure;
- an access token names a session and carries no claims: rights are read per request, and a change takes effect at once
  in every process, even while PostgreSQL is away and known sessions continue;
- passwords, tokens and codes are stored as hashes only, authenticators' secrets sealed; none of them reaches a log, a
  job or the audit;
- a refresh token is used once; a second use after ten seconds ends its session;
- a provider's account is identified by its subject; an e-mail address never links accounts, whoever asserts it;
- a declared CPF gives no access to what other modules keep under it; a proven one does, and belongs to one person only;
- the audit is append-only and holds ids, never content.

Every way of signing in verifies the person and ends in `start_session`. Other modules add people with `add_person` and
`register_person`, grant them self-service claims with `grant_self_service`, read them with `person` and `find_person`,
read a person's proven CPF with `proven_cpf`, and depend on `IdentityDep` in routes that need more. Sources: rules.md,
identity; RFC 6238, 6749, 7519, 7636, 9106, 9700; OpenID Connect Core; W3C Web Authentication; LGPD arts. 8 and 18;
`docs/reference/identity.md`, `docs/reference/asvs.md`.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from fastapi import FastAPI

from carteira.identity import desk
from carteira.identity.clients.service import clients_of, is_own, kind_of, people_behind, require_client_not_above
from carteira.identity.config import DailyExport, GoogleConfig, GovBrConfig, IdentityConfig, MetaConfig
from carteira.identity.contacts.points import ContactPoint
from carteira.identity.contacts.points import Kind as ContactKind
from carteira.identity.contacts.service import ask_confirmation as ask_contact_confirmation
from carteira.identity.erasures import ErasureJournal, JournalEntry
from carteira.identity.errors import (
    AccountSuspended,
    ClaimNotFound,
    ClientNotFound,
    CpfDiffers,
    CpfNotProven,
    CpfTaken,
    EmailTaken,
    ErasureJournalDown,
    SessionOver,
    UserNotFound,
    WeakPassword,
    WrongCredentials,
)
from carteira.identity.fields import BirthDate, Code, FullName, NewPassword, Password, Token, TypedBirthDate
from carteira.identity.invitations.service import LIFETIME as _INVITATION_LIFETIME
from carteira.identity.invitations.service import invite_administrator, send_invitation
from carteira.identity.pages import DRAW_LINK, DrawLink, LinkPage
from carteira.identity.passkeys.schemas import Label as PasskeyName
from carteira.identity.passkeys.service import PasskeyView, Site, list_passkeys, passkey
from carteira.identity.passkeys.service import login_options as passkey_sign_in_options
from carteira.identity.passkeys.service import register as register_passkey
from carteira.identity.passkeys.service import registration_options as passkey_registration_options
from carteira.identity.passkeys.service import remove as remove_passkey
from carteira.identity.passkeys.service import rename as rename_passkey
from carteira.identity.passkeys.service import sign_in as passkey_sign_in
from carteira.identity.proof.service import CpfFollower, proven_among, proven_cpf, require_proof
from carteira.identity.public_address import BaseDep, SiteDep
from carteira.identity.recovery.service import ask as ask_recovery
from carteira.identity.recovery.service import reset as reset_password
from carteira.identity.recovery.service import verify as verify_recovery
from carteira.identity.roles.grants import keep_an_administrator, require_may_grant, require_not_above
from carteira.identity.roles.holding import ClientStanding, client_standing, still_may
from carteira.identity.roles.service import grant_self_service
from carteira.identity.runtime import RUNTIME, IdentityDep, Runtime, authenticate
from carteira.identity.seed import seed, seed_claim
from carteira.identity.sessions.client import ClientDep, remember_device
from carteira.identity.sessions.cookies import SessionCookies
from carteira.identity.sessions.everybody import sign_everybody_out
from carteira.identity.sessions.service import (
    IDLE_MINUTES,
    KEPT_SECONDS,
    Client,
    SessionView,
    Tokens,
    issue_cookie,
    list_sessions,
    revoke_session,
    session_is_live,
    sign_browser_out,
    sign_out_everywhere,
    start_session,
)
from carteira.identity.sessions.standing import SessionStandings
from carteira.identity.signin.sealing_keys import (
    SealedRows,
    SealingKeyRotation,
    check_sealed,
    rotate_sealing_key,
)
from carteira.identity.signin.service import Challenge, finish_sign_in, sign_in
from carteira.identity.signin.step_up import by_code as confirm_by_code
from carteira.identity.signin.step_up import by_passkey as confirm_by_passkey
from carteira.identity.signin.step_up import by_password as confirm_by_password
from carteira.identity.signin.totp import Enrolment
from carteira.identity.signin.totp import confirm as confirm_authenticator
from carteira.identity.signin.totp import disable as disable_authenticator
from carteira.identity.signin.totp import enrol as enrol_authenticator
from carteira.identity.signin.totp import waiting as waiting_authenticator
from carteira.identity.social.cookies import PAGE_COOKIE as SOCIAL_PAGE_COOKIE
from carteira.identity.social.cookies import SOCIAL_COOKIE
from carteira.identity.social.providers import ProviderName
from carteira.identity.social.service import CallbackResult as SocialArrival
from carteira.identity.social.service import Registration as SocialOffer
from carteira.identity.social.service import SignUp as SocialSignUp
from carteira.identity.social.service import SocialAccountView
from carteira.identity.social.service import ask_code as ask_social_link
from carteira.identity.social.service import begin as begin_social
from carteira.identity.social.service import callback as end_social
from carteira.identity.social.service import link as link_social
from carteira.identity.social.service import list_accounts as linked_accounts
from carteira.identity.social.service import register as register_social
from carteira.identity.social.service import unlink as unlink_account
from carteira.identity.social.service import verify_code as verify_social_link
from carteira.identity.trail.queries import DataAccessView, accesses_to, acts_about
from carteira.identity.users.export import Format as ExportFormat
from carteira.identity.users.export import export_users
from carteira.identity.users.passwords import broken_rules
from carteira.identity.users.purposes import PURPOSES, Purpose
from carteira.identity.users.queries import (
    PersonView,
    consents_of,
    erased_ids,
    find_person,
    holders_of,
    live_among,
    names,
    person,
)
from carteira.identity.users.service import (
    NewPerson,
    add_person,
    change_password,
    change_person,
    confirm_erasures,
    erase_again,
    erase_demo_person,
    erase_user,
    everything_about,
    prepare_password,
    record_consent,
    register_person,
)
from carteira.kit.module import Module
from carteira.kit.web.state import DATABASE, REDIS

if TYPE_CHECKING:
    from carteira.kit.outbound.http import Http

INVITATION_DAYS = _INVITATION_LIFETIME.days

__all__ = [
    "DRAW_LINK",
    "IDLE_MINUTES",
    "INVITATION_DAYS",
    "KEPT_SECONDS",
    "PURPOSES",
    "RUNTIME",
    "SOCIAL_COOKIE",
    "SOCIAL_PAGE_COOKIE",
    "AccountSuspended",
    "BaseDep",
    "BirthDate",
    "Challenge",
    "ClaimNotFound",
    "Client",
    "ClientDep",
    "ClientNotFound",
    "ClientStanding",
    "Code",
    "ContactKind",
    "ContactPoint",
    "CpfDiffers",
    "CpfNotProven",
    "CpfTaken",
    "DailyExport",
    "DataAccessView",
    "DrawLink",
    "EmailTaken",
    "Enrolment",
    "ErasureJournal",
    "ErasureJournalDown",
    "ExportFormat",
    "FullName",
    "GoogleConfig",
    "GovBrConfig",
    "IdentityConfig",
    "IdentityDep",
    "JournalEntry",
    "LinkPage",
    "MetaConfig",
    "NewPassword",
    "NewPerson",
    "PasskeyName",
    "PasskeyView",
    "Password",
    "PersonView",
    "ProviderName",
    "Purpose",
    "Runtime",
    "SealedRows",
    "SealingKeyRotation",
    "SessionCookies",
    "SessionOver",
    "SessionStandings",
    "SessionView",
    "Site",
    "SiteDep",
    "SocialAccountView",
    "SocialArrival",
    "SocialOffer",
    "SocialSignUp",
    "Token",
    "Tokens",
    "TypedBirthDate",
    "UserNotFound",
    "WeakPassword",
    "WrongCredentials",
    "accesses_to",
    "acts_about",
    "add_person",
    "ask_contact_confirmation",
    "ask_recovery",
    "ask_social_link",
    "authenticate",
    "begin_social",
    "broken_rules",
    "change_password",
    "change_person",
    "check_sealed",
    "client_standing",
    "clients_of",
    "confirm_authenticator",
    "confirm_by_code",
    "confirm_by_passkey",
    "confirm_by_password",
    "confirm_erasures",
    "consents_of",
    "desk",
    "disable_authenticator",
    "end_social",
    "enrol_authenticator",
    "erase_again",
    "erase_demo_person",
    "erase_user",
    "erased_ids",
    "everything_about",
    "export_users",
    "find_person",
    "finish_sign_in",
    "grant_self_service",
    "holders_of",
    "invite_administrator",
    "is_own",
    "issue_cookie",
    "keep_an_administrator",
    "kind_of",
    "link_social",
    "linked_accounts",
    "list_passkeys",
    "list_sessions",
    "live_among",
    "module",
    "names",
    "passkey",
    "passkey_registration_options",
    "passkey_sign_in",
    "passkey_sign_in_options",
    "people_behind",
    "person",
    "prepare_password",
    "proven_among",
    "proven_cpf",
    "record_consent",
    "register_passkey",
    "register_person",
    "register_social",
    "remember_device",
    "remove_passkey",
    "rename_passkey",
    "require_client_not_above",
    "require_may_grant",
    "require_not_above",
    "require_proof",
    "reset_password",
    "revoke_session",
    "rotate_sealing_key",
    "seed",
    "seed_claim",
    "send_invitation",
    "session_is_live",
    "sign_browser_out",
    "sign_everybody_out",
    "sign_in",
    "sign_out_everywhere",
    "start_session",
    "still_may",
    "unlink_account",
    "verify_recovery",
    "verify_social_link",
    "waiting_authenticator",
]


def _cpf_followers(others: Sequence[Module]) -> list[CpfFollower]:
    return [other.follow_cpf for other in others if other.follow_cpf is not None]


def _runtime(
    app: FastAPI, config: IdentityConfig, others: Sequence[Module], looks: Mapping[str, str], http: "Http"
) -> Runtime:
    """Return the runtime of identity's verbs in this process."""
    from carteira.identity.social.providers import make_providers
    from carteira.identity.users import passwords, queries
    from carteira.identity.users.breached import BreachedPasswords
    from carteira.kit.security.rate_limits import Limiter
    from carteira.kit.security.sealing import KeyedDigest
    from carteira.kit.security.tokens import SigningKeys

    passwords.forbid(config.password_words)
    passwords.refuse_breached(() if config.breached_passwords is None else BreachedPasswords(config.breached_passwords))
    sealer = config.sealing_ring()
    sealer.keys()  # a key file that is wrong or missing stops the start, not the first request
    bindings = [other.bindings for other in others if other.bindings is not None]
    ring = SigningKeys(config.signing_key, create=config.development)
    access = SessionStandings(ring, DATABASE.of(app), REDIS.of(app), config, bindings)
    exporters = {other.name: other.export_person for other in others if other.export_person is not None}
    return Runtime(
        config=config,
        database=DATABASE.of(app),
        ring=ring,
        access=access,
        cookies=SessionCookies(DATABASE.of(app), access),
        limiter=Limiter(REDIS.of(app)),
        sealer=sealer,
        strangers=KeyedDigest(sealer, "identity:strangers"),
        exporters={"identity": queries.export_person, **exporters},
        erasers={other.name: other.erase_person for other in others if other.erase_person is not None},
        refusals=[other.refuse_erasure for other in others if other.refuse_erasure is not None],
        tracers={other.name: other.traces_of_person for other in others if other.traces_of_person is not None},
        trace_erasers={other.name: other.erase_traces for other in others if other.erase_traces is not None},
        journal=config.erasure_journal and config.erasure_journal(),
        cpf_followers=_cpf_followers(others),
        looks=looks,
        ids_of=[other.ids_of_person for other in others if other.ids_of_person is not None],
        providers=make_providers(config, http),
    )


def module(config: IdentityConfig, others: Sequence[Module], looks: Mapping[str, str]) -> Module:
    """Hand identity to the composition root.

    `others` are the modules that hold a part of a person's data: export and erasure go through them, in this order.
    `looks` maps an action in the audit to the words in which a person reads of the look.
    """
    from carteira.identity.clients.routes import router as clients
    from carteira.identity.contacts.routes import router as contacts
    from carteira.identity.data_requests.routes import router as data_requests
    from carteira.identity.invitations.routes import router as invitations
    from carteira.identity.jobs import make_blueprint
    from carteira.identity.passkeys.routes import router as passkeys
    from carteira.identity.proof.by_operator import operation as cpf_proof
    from carteira.identity.proof.routes import router as proof
    from carteira.identity.recovery.routes import router as recovery
    from carteira.identity.roles.routes import router as roles
    from carteira.identity.sessions.routes import router as sessions
    from carteira.identity.signin.factor_reset import operation as factor_reset
    from carteira.identity.signin.routes import router as signin
    from carteira.identity.social.routes import router as social
    from carteira.identity.trail.routes import router as trail
    from carteira.identity.users import queries
    from carteira.identity.users.by_operator import operation as person_change
    from carteira.identity.users.passwords import warm_up
    from carteira.identity.users.routes import router as users
    from carteira.kit.outbound.http import Http
    from carteira.kit.security import audit_chain, audit_checks

    cpf_followers = _cpf_followers(others)
    running: list[Runtime] = []

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        http = Http()
        RUNTIME.set(app, _runtime(app, config, others, looks, http))
        running.append(RUNTIME.of(app))
        await warm_up()
        yield
        await http.close()

    return Module(
        name="identity",
        routers=(
            signin,
            sessions,
            recovery,
            passkeys,
            invitations,
            social,
            contacts,
            proof,
            data_requests,
            users,
            roles,
            clients,
            trail,
        ),
        jobs=make_blueprint(config),
        operations=(
            cpf_proof(cpf_followers, two_to_move=not config.development),
            person_change(config, cpf_followers),
            factor_reset(lambda: running[-1].access),
        ),
        followers=(audit_chain.follower,),
        lifespan=lifespan,
        observe=audit_checks.observe,
        export_person=queries.export_person,
    )
