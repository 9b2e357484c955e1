"""Settings that the composition root passes to identity."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from carteira.identity.erasures import ErasureJournal
from carteira.kit.outbound.mail import Mailer
from carteira.kit.outbound.objects import ObjectStore
from carteira.kit.outbound.sms import Sms
from carteira.kit.security.sealing import Sealer

ACCESS_SECONDS = 600
REFRESH_DAYS = 7
SESSION_DAYS = 30
DEVICE_DAYS = 400
GENERATED_PASSWORD_DAYS = 7


@dataclass(frozen=True)
class GoogleConfig:
    """An OpenID Connect provider; everything else is in its discovery document."""

    client_id: str
    client_secret: str
    issuer: str = "https://accounts.google.com"


@dataclass(frozen=True)
class MetaConfig:
    """Facebook Login: OAuth 2.0 and the Graph API."""

    client_id: str
    client_secret: str
    authorize_url: str
    token_url: str
    user_url: str


@dataclass(frozen=True)
class GovBrConfig:
    """gov.br's Login Único: OpenID Connect, and an API for the level where the ID token lacks it."""

    client_id: str
    client_secret: str
    issuer: str
    api_url: str
    level: Literal["silver", "gold"] = "silver"
    """The lowest level that proves a CPF."""


@dataclass(frozen=True)
class DailyExport:
    """The export of users that a worker writes every night."""

    days_kept: int = 7
    """Days that exports are kept; 0: none is written."""
    hour: int = 3
    """The hour of São Paulo; it is written at half past."""
    form: Literal["xlsx", "csv"] = "xlsx"
    columns: tuple[str, ...] = ()
    """Its columns, in this order; empty: all."""
    place: Callable[[], ObjectStore] | None = None
    """Opens the store of exports; None: the folder `exports` of the home folder."""


@dataclass(frozen=True)
class IdentityConfig:
    """Identity's settings."""

    home: Path
    """Folder of keys, exports and, in development, of SMS."""
    signing_key: Path
    """PEM file of the key that signs access tokens; retired keys lie beside it."""
    sealing_key: Path
    """File of the keys that seal authenticators' secrets at rest."""
    mailer: Mailer
    sms: Sms
    development: bool = True
    """Development mode: accepts operators' tokens that carry their own claims; cookies need no TLS."""
    second_factor: bool = False
    """Whether claims take effect only in sessions that have shown a second factor."""
    outage_seconds: float = 600
    """For how long cached sessions stay valid while PostgreSQL is away; 1,200 at most (a mark's life)."""
    password_words: tuple[str, ...] = ()
    """Words that a password must not consist of: names of company and product."""
    breached_passwords: Path | None = None
    """A sorted file of SHA-1 hashes of breached passwords, which are refused."""
    registrations_per_hour: int | None = 600
    """Registrations per hour from one network; None: no limit."""
    contact_change_hours: int = 72
    """For how long after a change the former contact point recovers the account and may undo the change."""
    link_base: str = "http://localhost:8000"
    """The beginning of links in messages."""
    export: DailyExport = DailyExport()
    """The nightly export of users."""
    audit_years_kept: int = 10
    """Years that rows of the audit are kept; at least five."""
    answer_days_kept: int = 30
    """Days that answers under an idempotency key are kept in full."""
    session_days_kept: int = 90
    """Days that sessions are kept after they ended."""
    erasure_journal: Callable[[], ErasureJournal] | None = None
    """Opens the journal of erasures, outside of the database; None: there is none."""
    social_page: str = ""
    """The page that a browser returns to from a provider, with `{provider}` in it; empty: there is none."""
    google: GoogleConfig | None = None
    meta: MetaConfig | None = None
    govbr: GovBrConfig | None = None

    def sealing_ring(self) -> Sealer:
        """Return the keys that seal authenticators' secrets; the file is created in development only."""
        return Sealer(self.sealing_key, create=self.development)

    @property
    def https(self) -> bool:
        """Whether people reach the server over TLS; in production always."""
        return not self.development or self.link_base.startswith("https://")
