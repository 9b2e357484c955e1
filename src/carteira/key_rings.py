"""The key rings of an installation: where each is, how it is made, and the faults of its file."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from carteira import credit
from carteira.kit.ops.private_files import others_may
from carteira.kit.security import tokens
from carteira.kit.security.key_ring import KeyRing
from carteira.settings import Settings


@dataclass(frozen=True)
class RingLook:
    """The state of a ring's file: the active key, since when it is active (if known), and its other keys."""

    active: str
    since: datetime
    former: int
    waiting: str | None
    """A key that opens but does not seal, or verifies but does not sign, until the next rotation."""


@dataclass(frozen=True)
class Ring:
    """A key ring: its name, the setting of its file, and the module that uses it (None: always used)."""

    name: str
    setting: str
    file_name: str
    module: str | None
    make: Callable[[Path], bool]
    """Makes the file unless it is there; returns whether it did."""
    prepare: Callable[[Path], str]
    """Adds a waiting key and returns its id; raises `KeyWaits`, and as `look`."""
    look: Callable[[Path], RingLook]
    """Reads the file; raises `OSError` or `ValueError`."""

    @property
    def stem(self) -> str:
        """The usual name of its file without the suffix, which the names of files beside it begin with."""
        return Path(self.file_name).stem

    def path(self, settings: Settings) -> Path:
        """Return the path of its file; without a setting, in the home folder."""
        named: Path | None = getattr(settings, self.setting.lower())
        return named or settings.carteira_home / "keys" / self.file_name


def _check_tokens(path: Path) -> RingLook:
    kid = str(tokens.load_key(path).kid)
    waiting = [str(tokens.load_key(file).kid) for file in tokens.waiting_keys(path)]
    return RingLook(
        kid, _changed_at(path), len(tokens.retired_keys(path)), next((name for name in waiting if name != kid), None)
    )


def _check_ring(path: Path) -> RingLook:
    keys = KeyRing(path).keys()
    waiting = [key.id for key in keys if key.is_waiting]
    return RingLook(keys[-1].id, keys[-1].created_at, len(keys) - len(waiting) - 1, next(iter(waiting), None))


def _check_credit(path: Path) -> RingLook:
    file = credit.read_key_file(path)
    former = len(file.keys) - (1 if file.waiting is None else 2)
    return RingLook(file.active, _changed_at(path), former, file.waiting)


def _changed_at(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)


def _make(path: Path) -> bool:
    return KeyRing(path).make()


def _prepare(path: Path) -> str:
    return KeyRing(path).prepare().id


RINGS: Mapping[str, Ring] = {
    ring.name: ring
    for ring in (
        Ring(
            *("tokens", "ACCESS_TOKEN_KEY_FILE", "access-token.pem", None),
            *(tokens.create_key, tokens.prepare, _check_tokens),
        ),
        Ring("identity", "IDENTITY_KEY_FILE", "identity.key", None, _make, _prepare, _check_ring),
        Ring("documents", "DOCUMENTS_KEY_FILE", "documents.json", "documents", _make, _prepare, _check_ring),
        Ring(
            *("credit", "CREDIT_KEY_FILE", "credit.json", "credit"),
            *(credit.create_key_file, credit.prepare_key, _check_credit),
        ),
    )
}


def rings_on(settings: Settings) -> list[Ring]:
    """Return the rings that are in use."""
    return [ring for ring in RINGS.values() if ring.module is None or ring.module in settings.modules]


def fault_of(path: Path, look: Callable[[Path], object]) -> str | None:
    """Return the fault of a key file with advice, in Portuguese; None: there is none."""
    try:
        look(path)
        exposed = others_may(path)
    except FileNotFoundError:
        return f"{path} não existe: execute `carteira keys init`, ou traga a chave de volta se já houve uma"
    except OSError as error:
        return f"{path} não pode ser lido ({error.strerror})"
    except ValueError:
        return f"{path} não é um arquivo de chaves: traga-o de volta da cópia de segurança"
    if exposed == "write":
        return f"{path} pode ser escrito por outros usuários: execute chmod 600 {path}"
    if exposed == "read":
        return f"{path} pode ser lido por outros usuários: execute chmod 600 {path}"
    return None


def faults(settings: Settings) -> Iterator[str]:
    """Yield the faults of key files with which a server outside of development does not start."""
    for ring in rings_on(settings):
        fault = fault_of(ring.path(settings), ring.look)
        if fault is not None:
            yield f"{ring.setting}: {fault}"
