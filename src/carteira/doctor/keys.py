"""Checks the key rings: their files, who may read them, and whether they open what the database holds."""

from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import replace

from carteira import credit, documents, identity, webhooks
from carteira.backup.ages import OLD_KEY, OLD_TOKENS_KEY
from carteira.doctor.findings import Diagnosis, fail, finding_of, ok, warn
from carteira.key_rings import RINGS, fault_of, rings_on
from carteira.kit.db.engine import Database
from carteira.kit.security.sealing import Sealer
from carteira.kit.values.clock import clock
from carteira.settings import Settings, production

AREA = "chaves"


def key_files(settings: Settings) -> Iterator[Diagnosis]:
    """Check the key files: present, readable, private, and the age of the active keys."""
    for ring in rings_on(settings):
        path = ring.path(settings)
        fault = fault_of(path, ring.look)
        if fault is not None and settings.environment == "development" and not path.exists():
            yield ok(AREA, f"{ring.name}: {path} é criado no primeiro início do servidor")
            continue
        if fault is not None:
            found = finding_of(AREA, "fail", fault, f"dê a este usuário o direito de ler {path}")
            yield replace(found, text=f"{ring.name}: {found.text}")
            continue
        look = ring.look(path)
        text = f"{ring.name}: {path}, chave {look.active} desde {look.since:%d/%m/%Y}"
        text += f", e {look.former} anteriores" if look.former else ""
        if look.waiting is not None:
            yield warn(
                AREA,
                f"{text}; a chave {look.waiting} espera ser usada",
                f"copie {path.parent} para as outras máquinas e execute carteira keys rotate {ring.name}",
            )
        elif clock.now() - look.since > (OLD_TOKENS_KEY if ring.name == "tokens" else OLD_KEY):
            yield warn(AREA, text, f"troque-a: carteira keys rotate {ring.name}")
        else:
            yield ok(AREA, text)
    yield from _processor_secrets(settings)


def _processor_secrets(settings: Settings) -> Iterator[Diagnosis]:
    if production.has_weak_secret(settings):
        if settings.environment == "development":
            yield ok(AREA, "jwt: JWT_SECRET é o segredo de desenvolvimento, ou fraco; fora dele não é aceito")
        else:
            yield fail(AREA, "jwt: JWT_SECRET é fraco", "sorteie outro: carteira keys rotate jwt")
    elif len(settings.jwt_secrets) > 1:
        yield warn(
            AREA,
            f"jwt: JWT_SECRET tem {len(settings.jwt_secrets)} segredos, uma troca por terminar",
            "quando a processadora usar o novo, deixe só ele em JWT_SECRET e reinicie os servidores",
        )
    else:
        yield ok(AREA, "jwt: JWT_SECRET")


def not_checked(sentence: str) -> Diagnosis:
    """Return the finding that the sealed data were not checked, and why."""
    found = finding_of(
        AREA, "fail", sentence, "defina DATABASE_URL; carteira keys check --files confere só os arquivos"
    )
    return replace(found, text=f"não foi conferido se as chaves abrem o que o banco de dados guarda: {found.text}")


async def sealed_data(settings: Settings, database: Database) -> AsyncIterator[Diagnosis]:
    """Check whether the keys open what the database holds. Raises as `Database.transaction`."""
    names = {ring.name for ring in rings_on(settings)}
    async with database.transaction() as tx:
        ring = Sealer(RINGS["identity"].path(settings)) if _is_usable("identity", settings) else None
        check = await identity.check_sealed(tx, ring, [webhooks.SEALED])
        yield _of_counts("identity", check.on_active, check.on_former, check.unreadable)
        if "documents" in names:
            yield _of_documents(settings, await documents.count_by_key(tx))
        if "credit" in names:
            yield _of_credit(settings, await credit.count_by_key(tx))


def _of_documents(settings: Settings, counts: Mapping[str, int]) -> Diagnosis:
    if not _is_usable("documents", settings):
        return _by_key("documents", "", set(), counts)
    keys = documents.MasterKeyRing(RINGS["documents"].path(settings)).keys()
    return _by_key("documents", keys[-1].id, {key.id for key in keys}, counts)


def _of_credit(settings: Settings, counts: Mapping[str, int]) -> Diagnosis:
    """Check base A's keys; whether KMS opens what it wrapped is not checked here."""
    by_kms = {key for key in counts if key.startswith(credit.KMS)}
    if not _is_usable("credit", settings):
        return _by_key("credit", "", by_kms, counts)
    file = credit.read_key_file(RINGS["credit"].path(settings))
    active = credit.KMS + settings.credit_kms_key_id if settings.credit_kms_key_id else file.active
    return _by_key("credit", active, {*file.keys, *by_kms}, counts)


def _is_usable(name: str, settings: Settings) -> bool:
    """Return whether a ring's file can be read, whoever else may read it."""
    try:
        RINGS[name].look(RINGS[name].path(settings))
    except (OSError, ValueError):
        return False
    return True


def _by_key(name: str, active: str, known: set[str], counts: Mapping[str, int]) -> Diagnosis:
    unreadable = sum(number for key, number in counts.items() if key not in known)
    on_active = counts.get(active, 0)
    return _of_counts(name, on_active, sum(counts.values()) - on_active - unreadable, unreadable)


def _of_counts(name: str, on_active: int, on_former: int, unreadable: int) -> Diagnosis:
    if unreadable:
        return fail(
            AREA,
            f"{name}: {unreadable} segredos do banco de dados não abrem com nenhuma chave do arquivo",
            "traga de volta o arquivo de chaves que havia quando foram gravados",
        )
    if on_former:
        return warn(
            AREA,
            f"{name}: {on_former} segredos ainda estão com chaves anteriores",
            f"termine a troca: carteira keys rotate {name} --no-new",
        )
    return ok(AREA, f"{name}: os {on_active} segredos do banco de dados estão com a chave ativa")
