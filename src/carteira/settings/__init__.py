"""Every setting of Carteira, read once from the environment (and `.env`) in the composition root."""

from pathlib import Path
from typing import Annotated, Literal, Self, get_args
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from carteira.kit.values.limits import Limit
from carteira.modules import OPTIONAL_MODULES
from carteira.settings import production, rules, secret_files
from carteira.settings.backups import BackupSettings
from carteira.settings.exports import ExportSettings
from carteira.settings.limits import LIMITS, Most, in_a_day, single_limit
from carteira.settings.pix import PixSettings
from carteira.settings.production import DEVELOPMENT_JWT_SECRET
from carteira.settings.stores import StoreSettings
from carteira.settings.tracing import TracingSettings
from carteira.settings.webhooks import WebhookSettings

_OWN_HOSTS = {"127.0.0.1", "localhost", "::1", "0.0.0.0", "::"}  # noqa: S104 - naming it opens no listener
_MODULE_NAMES = ", ".join(f"`{name}`" for name in OPTIONAL_MODULES)

Strategy = Literal["optimistic", "pessimistic", "queue"]


def _split(text: str) -> tuple[str, ...]:
    """Return the comma-separated parts."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _is_whole(kind: object) -> bool:
    """Return whether a setting is a whole number, or one of the words allowed in its place."""
    return kind is int or any(_is_whole(part) for part in get_args(kind))


class InsecureProduction(ValueError):
    """Production was requested with a development default."""


class Settings(BackupSettings, ExportSettings, PixSettings, StoreSettings, TracingSettings, WebhookSettings):
    """One frozen object; modules get the parts that they need and never import it."""

    model_config = SettingsConfigDict(env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True)

    environment: Literal["development", "staging", "production"] = Field(
        "development",
        description="`production` refuses development defaults (secrets, debug, demo data); `staging` refuses them "
        "too, accepts sandboxes of external services, and sends only to the recipients of `MAIL_ONLY_TO` and "
        "`SMS_ONLY_TO`.",
    )
    debug: bool = Field(False, description="Reload on change and logs at debug level; development only.")
    host: str = Field("127.0.0.1", description="Address that the server listens on.")
    port: int = Field(8000, ge=0, le=65535, description="Port that the server listens on.")
    worker_host: str = Field("127.0.0.1", description="Address of the worker's own `/health` and `/metrics`.")
    worker_port: int = Field(
        8001, ge=0, le=65535, description="Port of the worker's own `/health` and `/metrics` (0: any that is free)."
    )
    workers: int = Field(1, ge=1, le=64, description="Server processes.")
    carteira_home: Path = Field(
        Path(".carteira"), description="Folder of the embedded servers' data, keys and state (created 0700)."
    )
    carteira_modules: str = Field(
        "all",
        description=f"Modules to serve, comma-separated ({_MODULE_NAMES}), or `all` or `none`; identity, ledger and "
        "kit are always served.",
    )
    aws_endpoint_url: str | None = Field(
        None, description="DynamoDB and S3 endpoint; empty: `carteira run` starts its own (in production: AWS itself)."
    )
    aws_region: str = Field("sa-east-1", pattern=r"^[a-z0-9-]{1,32}$", description="AWS region of DynamoDB and KMS.")
    credit_key_file: Path | None = Field(
        None, description="JSON file with the keys of credit's base A and hashes; empty: created in the home folder."
    )
    credit_kms_key_id: str | None = Field(
        None, description="AWS KMS key (id, ARN or alias) that wraps base A's data keys; empty: the key file's."
    )
    credit_table: str = Field(
        "carteira-credit", pattern=r"^[a-zA-Z0-9_.-]{3,255}$", description="DynamoDB table of credit's base B."
    )
    jwt_secret: SecretStr = Field(
        SecretStr(DEVELOPMENT_JWT_SECRET),
        description="HS256 secret of the card processor's tokens for the authorizer, 32 bytes or more; during a "
        "rotation several, comma-separated: the first signs, all of them verify.",
    )
    processor_token_seconds: int = Field(
        0,
        ge=0,
        description="Longest validity of a card processor's token, from its `iat` (without one, from its first "
        "use) to its `exp`; 0: no limit.",
    )
    access_token_key_file: Path | None = Field(
        None, description="PEM file of the Ed25519 key that signs people's tokens; empty: created in the home folder."
    )
    identity_key_file: Path | None = Field(
        None,
        description="File of the keys that seal authenticators' secrets; empty: in the home folder.",
    )
    operators_second_factor: Literal["required", "off"] | None = Field(
        None,
        description="`required`: claims take effect only in a session with a second factor; `off`: in every "
        "session. Empty: `required` in production, which refuses `off`, and `off` in development.",
    )
    session_outage_seconds: int = Field(
        600,
        ge=0,
        le=1200,
        description="Seconds that a known session continues while PostgreSQL is unavailable and Redis holds no "
        "change of it; 0: not at all.",
    )
    smtp_url: SecretStr | None = Field(
        None,
        description="Mail server (`smtp://user:password@host:port?starttls=true`, `smtps://…`); empty: "
        "`carteira run` starts its own, which keeps mail in a Maildir.",
    )
    smtp_insecure: bool = Field(
        False, description="Accept a mail server on another host without TLS; production refuses it otherwise."
    )
    mail_from: str = Field("nao-responda@carteira.localhost", description="Sender's address of e-mails.")
    sms_url: str | None = Field(
        None, description="SMS provider's endpoint (POST of `to` and `text`); empty: files under the home folder."
    )
    sms_token: SecretStr | None = Field(None, description="Bearer token for the SMS provider.")
    mail_only_to: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9.-]+( *, *[A-Za-z0-9.-]+)*$",
        description="Domains, comma-separated, that receive e-mails; e-mails to others are dropped and counted. "
        "Staging requires a value; empty: all.",
    )
    sms_only_to: str | None = Field(
        None,
        pattern=r"^[0-9]{10,11}( *, *[0-9]{10,11})*$",
        description="Phones, comma-separated, that receive SMS; SMS to others are dropped and counted. Staging "
        "requires a value with `SMS_URL`; empty: all.",
    )
    contact_change_hours: int = Field(
        72,
        ge=0,
        le=720,
        description="Hours in which a changed e-mail or phone does not recover the account yet and the former one "
        "can undo the change.",
    )
    audit_years: int = Field(
        10,
        ge=5,
        le=100,
        description="Years that rows of the audit are kept (acts, and looks at people's data); at least 5.",
    )
    decision_years: int = Field(
        10,
        ge=5,
        le=100,
        description="Years that the authorizer's declined decisions are kept, at least 5; approved ones stay for good.",
    )
    idempotency_days: int = Field(
        30,
        ge=1,
        le=3650,
        description="Days that whole answers under an `Idempotency-Key` are kept; afterwards only the ids and "
        "amounts of answers that moved money.",
    )
    question_days: int = Field(
        90, ge=1, le=3650, description="Days that unanswered questions to the assistant are kept."
    )
    session_history_days: int = Field(
        90, ge=1, le=3650, description="Days that ended sessions are kept; they appear in no list."
    )
    registrations_per_hour: Annotated[int, Field(ge=1, le=1_000_000)] | Literal["none"] = Field(
        600,
        description="Registrations per hour from one network, or `none` for no limit; in development this machine "
        "has no limit.",
    )
    password_words: str = Field(
        "",
        description="Words, comma-separated, that passwords may not be made of, beside the common ones: the names "
        "of your company and product.",
    )
    breached_passwords_file: Path | None = Field(
        None,
        description="Sorted file of breached passwords' SHA-1 hashes, as Have I Been Pwned's downloader writes it; "
        "new passwords in it are refused.",
    )
    public_texts_folder: Path | None = Field(
        None,
        description="Folder of your own privacy notice (`privacidade.txt`) and terms (`termos.txt`), read when a "
        "process starts; for a missing file the product's text is shown.",
    )
    looks_per_hour: Annotated[int, Field(ge=1, le=1_000_000)] | Literal["none"] = Field(
        2_000,
        description="People whose data one operator may look at in an hour, without exports, or `none` for no limit.",
    )
    google_client_id: str | None = Field(None, description="Client id of Google sign-in; empty: off.")
    google_client_secret: SecretStr | None = Field(None, description="Client secret of Google sign-in.")
    google_issuer: str = Field(
        "https://accounts.google.com",
        description="Issuer of Google sign-in (OpenID Connect); the other addresses come from its discovery document.",
    )
    meta_client_id: str | None = Field(None, description="App id of Meta (Facebook) sign-in; empty: off.")
    meta_client_secret: SecretStr | None = Field(None, description="App secret of Meta sign-in.")
    meta_authorize_url: str = Field(
        "https://www.facebook.com/v24.0/dialog/oauth", description="Address of Meta's sign-in page."
    )
    meta_token_url: str = Field(
        "https://graph.facebook.com/v24.0/oauth/access_token",
        description="Address at which Meta exchanges the code for a token.",
    )
    meta_user_url: str = Field(
        "https://graph.facebook.com/v24.0/me", description="Address at which Meta returns the person's profile."
    )
    limit_top_ups: Most = single_limit("a top-up (a bulk is one)")
    limit_opening_balances: Most = single_limit("an account's opening balances")
    limit_refunds: Most = single_limit("a refund of a purchase")
    limit_reversals: Most = single_limit("a reversal of a purchase")
    limit_corrections: Most = single_limit("a reversal of a ledger entry, or an adjustment of a closed month")
    limit_purchase_approvals: Most = single_limit("an approval of a reseller's purchase")
    limit_cash_recharges: Most = single_limit("a recharge for cash")
    limit_payment_returns: Most = single_limit("a return of a payment")
    limit_tiers: Annotated[int, Field(ge=0, le=100)] | Literal["none"] | None = Field(
        None,
        description="Highest percentage of cashback that an operator sets alone; above, a second person approves. "
        "Production requires a number or `none`.",
    )
    daily_top_ups: Most = in_a_day("top-ups")
    daily_opening_balances: Most = in_a_day("opening balances")
    daily_refunds: Most = in_a_day("refunds of purchases")
    daily_reversals: Most = in_a_day("reversals of purchases")
    daily_corrections: Most = in_a_day("reversals of ledger entries and adjustments of closed months")
    daily_purchase_approvals: Most = in_a_day("approvals of resellers' purchases")
    daily_cash_recharges: Most = in_a_day("recharges for cash")
    daily_payment_returns: Most = in_a_day("returns of payments")
    pending_hours: int = Field(
        72, ge=1, le=720, description="Hours that an operation waits for a second person before it expires."
    )
    recharge_without_payment: bool | None = Field(
        None,
        description="`true`: people recharge transport cards without a payment; empty: in development only.",
    )
    tap_ahead_minutes: int = Field(
        10,
        ge=0,
        le=1_440,
        description="Minutes that a validator's clock may be ahead; a tap further ahead is kept, charges nothing "
        "and waits for an operator.",
    )
    tap_behind_days: int = Field(
        30,
        ge=1,
        le=3_650,
        description="Age in days of the oldest tap that is charged on arrival; an older one waits for an operator.",
    )
    govbr_client_id: str | None = Field(None, description="Client id of gov.br sign-in; empty: off.")
    govbr_client_secret: SecretStr | None = Field(None, description="Client secret of gov.br sign-in.")
    govbr_issuer: str = Field(
        "https://sso.acesso.gov.br",
        description="Issuer of gov.br sign-in (OpenID Connect); the other addresses come from its discovery document.",
    )
    govbr_api_url: str = Field(
        "https://api.acesso.gov.br",
        description="Address at which gov.br returns an account's level, where the ID token has none.",
    )
    govbr_level: Literal["silver", "gold"] = Field(
        "silver", description="Lowest level of a gov.br account that proves a CPF; accounts below it cannot sign in."
    )
    unproven_cpf: Literal["allow", "refuse"] | None = Field(
        None,
        description="`allow`: an unproven CPF has automatic approval, accumulated cashback and purchases entered "
        "by operators; `refuse`: it has none of them. Empty: `allow` in development, `refuse` in production.",
    )
    metrics_open: bool = Field(
        False,
        description="`/metrics` requires no token; production requires this value where `METRICS_TOKEN` is empty.",
    )
    metrics_token: SecretStr | None = Field(None, description="Bearer token that `/metrics` requires, if set.")
    docs_open: bool | None = Field(
        None,
        description="Whether `/docs`, `/redoc` and `/openapi.json` are public; empty: in development only. "
        "Production requires a value.",
    )
    authorizer_strategy: Strategy = Field(
        "queue", description="How the authorizer serialises an account: `optimistic`, `pessimistic` or `queue`."
    )
    public_url: str | None = Field(
        None,
        pattern=r"^https?://[A-Za-z0-9.:\[\]-]+(/[A-Za-z0-9._~/-]*)?$",
        description="Public address of the server, with `ROOT_PATH`, for all links and QR codes; empty: in "
        "development, the request's own address.",
    )
    root_path: str = Field(
        "",
        pattern=r"^(/[A-Za-z0-9._~-]+)*$",
        description="Path prefix under which a proxy serves this server (`/carteira`), whether or not the proxy "
        "removes it.",
    )
    documents_url: str | None = Field(
        None,
        description="Place of the sealed documents: `file:///folder` or `s3://bucket/prefix`; empty: in the home "
        "folder.",
    )
    documents_key_file: Path | None = Field(
        None, description="File of the master keys that wrap documents' keys; empty: in the home folder."
    )
    malware_scan: Literal["off", "required"] | None = Field(
        None,
        description="`required`: the scanner at `CLAMD_URL` examines each file before it is accepted; `off`: no "
        "scan. Production requires a value; empty in development: no scan.",
    )
    clamd_url: str | None = Field(
        None,
        pattern=r"^(tcp://[^/?#@]+:\d{1,5}/?|unix:///[^?#]+)$",
        description="Malware scanner with clamd's protocol: `tcp://host:3310` or `unix:///run/clamav/clamd.ctl`.",
    )
    base_url_cashback: str | None = Field(
        None,
        pattern=r"^https?://[^\s?#@]+$",
        description="External service of accumulated cashback (`https://…`); empty: its route answers 503.",
    )
    token_cashback: SecretStr = Field(SecretStr(""), description="Token for the external cashback service.")
    cashback_attempt_seconds: float = Field(
        1.0, gt=0, le=30, description="Time for one request to the external cashback service."
    )
    cashback_budget_seconds: float = Field(
        2.5, gt=0, le=30, description="Time for all tries of one question to the external cashback service."
    )
    cashback_cache_seconds: float = Field(
        30, ge=0, le=600, description="Time that an answer of the external cashback service is cached."
    )
    assistant_vectors: bool = Field(
        True,
        description="Load the assistant's sentence encoder (about 200 MB per process); off: it compares words only.",
    )
    max_body_bytes: int = Field(1_048_576, ge=1024, description="Largest request body that is read, in bytes.")
    request_timeout_seconds: float = Field(30, gt=0, le=600, description="Time to read and answer a request.")
    head_timeout_seconds: float = Field(
        15,
        gt=0,
        le=300,
        description="Time for a connection's first byte, for a request's head from its first byte, and for each "
        "further 1 KiB of its body.",
    )
    keep_alive_seconds: float = Field(75, gt=0, le=3600, description="Time that an idle connection stays open.")
    max_connections: int = Field(4096, ge=16, le=1_000_000, description="Connections per process.")
    max_connections_per_address: int = Field(
        1024,
        ge=1,
        le=1_000_000,
        description="Connections per process from one address (IPv6: one /64); trusted proxies have no limit.",
    )
    trusted_proxies: str | None = Field(
        None,
        description="Networks, comma-separated, whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed, or "
        "`none`; empty: none.",
    )
    shutdown_grace_seconds: int = Field(20, ge=1, le=300, description="Time for requests under way at shutdown.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Lowest level that is logged.")
    log_format: Literal["json", "console"] = Field("json", description="Shape of log lines.")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the files of `SECRETS_FOLDER` replace it
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read the environment, then `.env`, then the files of `SECRETS_FOLDER`; the first that sets a value wins."""
        return init_settings, env_settings, dotenv_settings, secret_files.source(settings_cls)

    @field_validator("carteira_home")
    @classmethod
    def _absolute(cls, home: Path) -> Path:
        return home.expanduser().absolute()

    @field_validator("public_texts_folder")
    @classmethod
    def _folder_exists(cls, folder: Path | None) -> Path | None:
        return folder and rules.folder(folder)

    @field_validator("breached_passwords_file")
    @classmethod
    def _hashes(cls, file: Path | None) -> Path | None:
        return file and rules.hashes(file)

    @field_validator("*", mode="before")
    @classmethod
    def _whole_number(cls, value: object, info: ValidationInfo) -> object:
        kind = cls.model_fields[str(info.field_name)].annotation
        if isinstance(value, str) and _is_whole(kind):
            return rules.whole_number(value, or_none=kind is not int)
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, text: str | None) -> str | None:
        return text and rules.networks(text)

    @field_validator(*production.ADDRESSES, "aws_endpoint_url", "public_url")
    @classmethod
    def _web_address(cls, url: str | None) -> str | None:
        if url is not None:
            rules.address(url, rules.WEB)
        return url

    @field_validator("smtp_url")
    @classmethod
    def _mail_address(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None:
            rules.mail_server(url.get_secret_value())
        return url

    @field_validator("documents_url")
    @classmethod
    def _storage(cls, url: str | None) -> str | None:
        return url and rules.storage(url)

    @field_validator("mail_from")
    @classmethod
    def _sender(cls, text: str) -> str:
        return rules.sender(text)

    @field_validator("public_url")
    @classmethod
    def _without_slash(cls, url: str | None) -> str | None:
        return url.rstrip("/") if url else url

    @model_validator(mode="after")
    def _addresses_agree(self) -> Self:
        if self.public_url is not None and urlsplit(self.public_url).path != self.root_path:
            raise ValueError("PUBLIC_URL precisa terminar com ROOT_PATH, e com nada mais")
        return self

    @field_validator("carteira_modules")
    @classmethod
    def _known_modules(cls, text: str) -> str:
        return rules.modules(text, OPTIONAL_MODULES)

    @model_validator(mode="after")
    def _scanner_is_known(self) -> Self:
        if self.malware_scan == "required" and self.clamd_url is None:
            raise ValueError("CLAMD_URL precisa ser definida com MALWARE_SCAN=required")
        return self

    @field_validator("jwt_secret")
    @classmethod
    def _some_secret(cls, given: SecretStr) -> SecretStr:
        if not _split(given.get_secret_value()):
            raise ValueError("JWT_SECRET não tem nenhum segredo")
        return given

    @model_validator(mode="after")
    def _production_is_safe(self) -> Self:
        if self.environment != "development" and (wrong := list(production.faults(self))):
            raise InsecureProduction("; ".join(wrong))
        return self

    def unset_limits(self) -> list[str]:
        """Return the names of the limits that are not set, of modules that are on."""
        on = {*self.modules, "ledger"}
        names = [f"{what}_{name}" for name, module in LIMITS.items() if module in on for what in ("limit", "daily")]
        return [name for name in names if name != "daily_tiers" and getattr(self, name) is None]

    @property
    def limits(self) -> list[Limit]:
        """The limits of what one operator may do; without a setting there is no limit, which production refuses."""

        def most(name: str) -> int | None:
            value: Most = getattr(self, name, None)
            return None if value == "none" else value

        return [Limit(name, most(f"limit_{name}"), most(f"daily_{name}")) for name in LIMITS]

    @property
    def recharges_are_free(self) -> bool:
        """Whether people recharge their transport cards without a payment."""
        configured = self.recharge_without_payment
        return self.environment == "development" if configured is None else configured

    @property
    def own_address(self) -> str:
        """The address at which this machine itself reaches the server."""
        host = "localhost" if self.host in _OWN_HOSTS else f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    @property
    def address(self) -> str:
        """The address at which people reach the server, with its prefix: `PUBLIC_URL`, or else this machine's."""
        return (self.public_url or self.own_address + self.root_path).rstrip("/")

    @property
    def jwt_secrets(self) -> tuple[str, ...]:
        """The secrets of the card processor's tokens: the first signs, each verifies."""
        return _split(self.jwt_secret.get_secret_value())

    @property
    def modules(self) -> frozenset[str]:
        """The optional modules that are on."""
        if self.carteira_modules.strip() == "all":
            return frozenset(OPTIONAL_MODULES)
        return frozenset(name.strip() for name in self.carteira_modules.split(",")) & frozenset(OPTIONAL_MODULES)

    @property
    def needs_second_factor(self) -> bool:
        """Whether claims wait for a second factor."""
        return (self.operators_second_factor or ("off" if self.environment == "development" else "required")) != "off"

    @property
    def unproven_cpf_policy(self) -> Literal["allow", "refuse"]:
        """The policy for an unproven CPF (`UNPROVEN_CPF`)."""
        return self.unproven_cpf or ("allow" if self.environment == "development" else "refuse")

    @property
    def serves_docs(self) -> bool:
        """Whether the pages of the API's contract are served."""
        return self.environment == "development" if self.docs_open is None else self.docs_open

    @property
    def mail_domains(self) -> frozenset[str] | None:
        """The domains that receive e-mails; None: all."""
        return None if self.mail_only_to is None else frozenset(_split(self.mail_only_to.lower()))

    @property
    def sms_phones(self) -> frozenset[str] | None:
        """The phones that receive SMS; None: all."""
        return None if self.sms_only_to is None else frozenset(_split(self.sms_only_to))

    @property
    def may_own_tables(self) -> bool:
        """Whether the role that serves may own the tables."""
        return self.environment == "development" or self.database_one_role

    def metrics_bearer(self) -> str | None:
        """Return the token that `/metrics` requires, if there is one."""
        return self.metrics_token.get_secret_value() if self.metrics_token else None
