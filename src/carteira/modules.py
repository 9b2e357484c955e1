"""The registry of modules: names, places, tables and events. Plain data; it imports nothing.

`settings`, `schema` and `demo` are derived from it; the import contracts of `pyproject.toml`, the routes and the events
are compared with it (`tests/house/test_modules.py`). A new module is registered here only.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

LAYERS = ("foundation", "services", "products", "dialogue", "pages", "notices")
"""The layers from the bottom up. A module imports only from layers below its own, and from `kit` below all of them."""

KIT_TABLES = (
    "carteira.kit.db.positions",
    "carteira.kit.db.outbox",
    "carteira.kit.web.idempotency",
    "carteira.kit.security.approvals",
    "carteira.kit.security.audit",
    "carteira.kit.security.audit_chain",
    "carteira.kit.security.audit_checks",
    "carteira.kit.security.codes",
)
"""The files of the kit that own tables."""

READ = ("SELECT",)
APPENDED = ("SELECT", "INSERT")
KEPT = ("SELECT", "INSERT", "UPDATE")
KIT_RIGHTS: Mapping[str, tuple[str, ...]] = {
    "alembic_version": READ,
    "audit_chain": APPENDED,
    "audit_log": APPENDED,
    "positions": READ,
}


KIT_EMITS = {"operations.decided": ("operation_id",)}
"""The topics that the kit puts into the outbox, each with the keys of its payload."""


@dataclass(frozen=True, slots=True)
class ModuleEntry:
    """One module of the product.

    Attributes:
        name: Its package under `carteira`, the namespace of its jobs, and the tag of its routes.
        layer: One of `LAYERS`.
        optional: Whether `CARTEIRA_MODULES` turns it on and off.
        tables: The files that own its tables, from the package down.
        paths: The path prefixes of its routes; no other module uses them.
        demo: The function of its door that adds a person's demo data (`seed(tx, user_id)`); empty: none.
        demo_line: The line about that data at the first start, in Portuguese.
        emits: The topics that it puts into the outbox, each with the keys of its payload.
        follows: The topics of the outbox that it follows.
        rights: The tables on which the service's role has less than `SELECT`, `INSERT`, `UPDATE` and `DELETE`.
    """

    name: str
    layer: str
    optional: bool = True
    tables: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    demo: str = ""
    demo_line: str = ""
    emits: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    follows: tuple[str, ...] = ()
    rights: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def door(self) -> str:
        """The dotted name that others import."""
        return f"carteira.{self.name}"

    @property
    def table_owners(self) -> tuple[str, ...]:
        """The dotted names of the files that own its tables."""
        return tuple(f"{self.door}.{file}" for file in self.tables)


_ACCOUNT = ("account_id", "account", "employer_id", "user_id")
_DOCUMENT = ("document_id", "user_id")
_CARD = ("user_id", "card_id", "at")
_CARD_MONEY = (*_CARD, "amount", "entry_id")
_ADJUSTMENT = ("adjustment_id", "reseller_id", "user_id", "month", "amount")
_PURCHASE = ("purchase_id", "reseller_id", "user_id")
_CHARGE = ("charge_id", "purpose", "target_id", "amount", "user_id")
_PAYMENT = ("e2eid", "charge_id", "amount", "user_id")
_FUND = ("employer_id", "amount", "entry_id")

REGISTRY = (
    ModuleEntry(
        "identity",
        layer="foundation",
        optional=False,
        tables=("models", "clients.models"),
        paths=("/.well-known", "/audit", "/auth", "/claims", "/clients", "/password-recovery", "/roles", "/users"),
        emits={"identity.person_erased": ("user_id",), "identity.person_registered": ("user_id",)},
    ),
    ModuleEntry(
        "ledger",
        layer="foundation",
        optional=False,
        tables=("chain", "checks", "models"),
        paths=("/ledger",),
        rights={
            "ledger_accounts": KEPT,
            "ledger_chain": APPENDED,
            "ledger_entries": APPENDED,
            "ledger_holds": KEPT,
            "ledger_keys": APPENDED,
            "ledger_postings": APPENDED,
            "ledger_reversals": APPENDED,
        },
    ),
    ModuleEntry(
        "documents",
        layer="services",
        tables=("models",),
        paths=("/documents",),
        emits={
            "documents.expiring": ("document_id", "user_id", "document_type", "expires_on", "days_left"),
            "documents.refused": _DOCUMENT,
            "documents.reviewed": _DOCUMENT,
        },
    ),
    ModuleEntry(
        "payments",
        layer="services",
        tables=("models",),
        paths=("/payments",),
        emits={
            "payments.charge_expired": _CHARGE,
            "payments.charge_paid": (*_CHARGE, "e2eid"),
            "payments.charge_refused": _CHARGE,
            "payments.not_credited": (*_PAYMENT, "reason"),
            "payments.return_failed": (*_PAYMENT, "return_id"),
            "payments.returned": (*_PAYMENT, "return_id", "reason"),
        },
        rights={
            "payments_charges": KEPT,
            "payments_received": KEPT,
            "payments_returns": KEPT,
            "payments_days": KEPT,
        },
    ),
    ModuleEntry(
        "benefits",
        layer="products",
        tables=("models",),
        paths=("/benefits", "/transactions"),
        demo="seed",
        rights={
            "benefits_decisions": ("SELECT", "INSERT", "DELETE"),  # declined ones are deleted after years
            "benefits_references": APPENDED,
            "benefits_reversals": APPENDED,
        },
        demo_line="contas         123 e 456 (da Maria); a Clara é RH da empresa da 123",
        emits={
            "benefits.account_claimed": _ACCOUNT,
            "benefits.account_opened": _ACCOUNT,
            "benefits.credited": ("account_id", "employer_id", "user_id", "category", "amount", "entry_id"),
            "benefits.fund_returned": _FUND,
            "benefits.funded": _FUND,
        },
    ),
    ModuleEntry(
        "transit",
        layer="products",
        tables=("models",),
        paths=("/transit", "/transport-cards"),
        demo="seed",
        demo_line="transporte     um cartão com saldo (da Maria)",
        emits={
            "transit.card_blocked": _CARD,
            "transit.card_cancelled": _CARD,
            "transit.card_unblocked": _CARD,
            "transit.debited": _CARD_MONEY,
            "transit.recharged": _CARD_MONEY,
            "transit.reversed": _CARD_MONEY,
            "transit.ride_paid": _CARD_MONEY,
        },
    ),
    ModuleEntry(
        "resellers",
        layer="products",
        tables=("models",),
        paths=("/cashback", "/purchases", "/resellers"),
        demo="seed",
        rights={"resellers_adjustment_parts": APPENDED, "resellers_adjustments": KEPT, "resellers_closings": APPENDED},
        demo_line="revendedores   compras do CPF 153.509.460-56 começam aprovadas; a Helena vende",
        emits={
            "resellers.adjustment_booked": _ADJUSTMENT,
            "resellers.adjustment_undone": _ADJUSTMENT,
            "resellers.cashback_credited": ("reseller_id", "user_id", "month"),
            "resellers.purchase_approved": _PURCHASE,
            "resellers.purchase_rejected": _PURCHASE,
        },
    ),
    ModuleEntry(
        "credit",
        layer="products",
        tables=("models",),
        paths=("/credit",),
        follows=("transit.debited", "transit.recharged", "transit.reversed", "transit.ride_paid"),
        rights={
            "credit_access_head": KEPT,
            "credit_accesses": APPENDED,
            "credit_model_choices": APPENDED,
            "credit_models": APPENDED,
        },
    ),
    ModuleEntry(
        "assistant",
        layer="dialogue",
        tables=("models",),
        paths=("/chatbot",),
    ),
    ModuleEntry(
        "inbox",
        layer="dialogue",
        optional=False,
        tables=("models",),
        paths=("/inbox",),
    ),
    ModuleEntry(
        "webhooks",
        layer="dialogue",
        tables=("models",),
        paths=("/webhooks",),
        follows=(
            "benefits.account_claimed",
            "benefits.account_opened",
            "benefits.credited",
            "benefits.fund_returned",
            "benefits.funded",
            "documents.expiring",
            "documents.refused",
            "documents.reviewed",
            "identity.person_erased",
            "identity.person_registered",
            "payments.charge_expired",
            "payments.charge_paid",
            "payments.charge_refused",
            "payments.not_credited",
            "payments.return_failed",
            "payments.returned",
            "resellers.adjustment_booked",
            "resellers.adjustment_undone",
            "resellers.cashback_credited",
            "resellers.purchase_approved",
            "resellers.purchase_rejected",
            "transit.card_blocked",
            "transit.card_cancelled",
            "transit.card_unblocked",
            "transit.debited",
            "transit.recharged",
            "transit.reversed",
            "transit.ride_paid",
        ),
    ),
    ModuleEntry(
        "web",
        layer="pages",
        optional=False,
        paths=("/", "/app", "/console", "/p", "/privacidade", "/static", "/termos"),
    ),
    ModuleEntry(
        "notices",
        layer="notices",
        optional=False,
        follows=(
            "documents.expiring",
            "documents.refused",
            "documents.reviewed",
            "operations.decided",
            "payments.returned",
            "resellers.cashback_credited",
            "resellers.purchase_approved",
            "resellers.purchase_rejected",
            "transit.card_blocked",
            "transit.card_cancelled",
            "transit.card_unblocked",
        ),
    ),
)
"""Every module, the lowest layer first."""

OPTIONAL_MODULES = tuple(sorted(entry.name for entry in REGISTRY if entry.optional))
TABLE_OWNERS = (*KIT_TABLES, *(owner for entry in REGISTRY for owner in entry.table_owners))
RIGHTS = dict(KIT_RIGHTS, **{table: rights for entry in REGISTRY for table, rights in entry.rights.items()})
"""The rights of the service's role on tables on which it has less than all four; on the others it has all."""
