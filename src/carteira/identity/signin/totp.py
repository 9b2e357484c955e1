"""The second factor: time-based codes (RFC 6238) and ten recovery codes. No code is accepted twice."""

import hmac
import io
import secrets
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

import pyotp
import segno
from sqlalchemy import delete, insert, select, update

from carteira.identity.errors import InvalidCode, TotpAlreadyOn, TotpNotFound, UserNotFound
from carteira.identity.models import RecoveryCode, Session, Totp, User
from carteira.identity.runtime import Runtime
from carteira.identity.sessions import service as sessions
from carteira.identity.sessions.standing import SessionStandings
from carteira.kit.db.session import Tx, locked
from carteira.kit.security import audit
from carteira.kit.security.codes import read_code
from carteira.kit.security.opaque_tokens import digest
from carteira.kit.security.sealing import Sealer
from carteira.kit.values.clock import clock
from carteira.kit.values.texts import compact

STEP_SECONDS = 30
RECOVERY_CODES = 10
_ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"  # without 0, O, 1, I: people copy these by hand
_GROUPS, _GROUP_LENGTH = 4, 7  # 140 bits: a plain hash is enough to store them
_TOTP_DIGITS = 6

Factor = Literal["totp", "recovery_code"]


@dataclass(frozen=True, slots=True)
class Enrolment:
    """The data that sets an authenticator up, shown once."""

    secret: str
    otpauth_uri: str
    qr_svg: str


async def enrol(tx: Tx, sealer: Sealer, user_id: UUID) -> Enrolment:
    """Make a secret that waits for its confirmation; it replaces an earlier one.

    Raises:
        TotpAlreadyOn: an authenticator is on.
    """
    user = await tx.get(User, user_id, with_for_update=True)
    if user is None or user.email is None:
        raise UserNotFound
    row = await locked(tx, Totp, user_id)
    if row is not None and row.confirmed_at is not None:
        raise TotpAlreadyOn
    secret = pyotp.random_base32()
    sealed = sealer.seal(user_id, secret.encode())
    if row is None:
        tx.add(Totp(user_id=user_id, secret=sealed, last_step=0, created_at=clock.now()))
    else:
        row.secret, row.last_step, row.created_at = sealed, 0, clock.now()
    await tx.flush()
    return _enrolment(user.email, secret)


async def waiting(tx: Tx, sealer: Sealer, user_id: UUID) -> Enrolment | None:
    """Return the enrolment of the authenticator that waits for confirmation; None if there is none."""
    row, user = await tx.get(Totp, user_id), await tx.get(User, user_id)
    if row is None or row.confirmed_at is not None or user is None or user.email is None:
        return None
    return _enrolment(user.email, sealer.open(user_id, row.secret).decode())


def _enrolment(email: str, secret: str) -> Enrolment:
    uri = pyotp.TOTP(secret).provisioning_uri(name=email, issuer_name="Carteira")
    return Enrolment(secret, uri, _qr(uri))


def _qr(text: str) -> str:
    image = io.BytesIO()
    segno.make(text, error="m").save(image, kind="svg", omitsize=True, xmldecl=False, title="Código QR do autenticador")
    return image.getvalue().decode()


async def is_on(tx: Tx, user_id: UUID) -> bool:
    """Return whether a person's authenticator is on."""
    confirmed = select(Totp.user_id).where(Totp.user_id == user_id, Totp.confirmed_at.is_not(None))
    return await tx.scalar(confirmed) is not None


async def confirm(tx: Tx, runtime: Runtime, user_id: UUID, session_id: UUID | None, code: str) -> list[str]:
    """Turn the authenticator on by its first code, and return the recovery codes, shown once.

    This counts as the session's second factor; the person's other sessions give one at their next step-up.

    Raises:
        TotpNotFound: none waits for its confirmation.
        InvalidCode: the code is wrong.
    """
    row = await locked(tx, Totp, user_id)
    if row is None or row.confirmed_at is not None:
        raise TotpNotFound
    if not _accept(row, runtime.sealer, code):
        raise InvalidCode
    row.confirmed_at = clock.now()
    session = await locked(tx, Session, session_id) if session_id is not None else None
    if session is not None and session.user_id == user_id:
        sessions.show(session, "totp")
    codes = ["-".join(_group() for _ in range(_GROUPS)) for _ in range(RECOVERY_CODES)]
    await tx.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user_id))
    await tx.execute(insert(RecoveryCode), [{"user_id": user_id, "code_hash": digest(_normal(code))} for code in codes])
    runtime.access.changed(tx, user_id)
    await audit.record(tx, "totp_on", actor=user_id, subject=user_id)
    return codes


def _group() -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(_GROUP_LENGTH))


def _normal(code: str) -> str:
    return compact(code).upper()


async def disable(tx: Tx, access: SessionStandings, user_id: UUID) -> None:
    """Turn the authenticator off, and delete its secret and the recovery codes.

    Raises:
        TotpNotFound: none is on or waiting.
    """
    gone = await tx.scalar(delete(Totp).where(Totp.user_id == user_id).returning(Totp.user_id))
    if gone is None:
        raise TotpNotFound
    await tx.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user_id))
    access.changed(tx, user_id)
    await audit.record(tx, "totp_off", actor=user_id, subject=user_id)


async def use_code(tx: Tx, sealer: Sealer, user_id: UUID, code: str) -> Factor | None:
    """Use up a code of the authenticator or of the recovery list; None if it is wrong or was used before."""
    row = await tx.scalar(select(Totp).where(Totp.user_id == user_id, Totp.confirmed_at.is_not(None)).with_for_update())
    if row is None:
        return None
    if _accept(row, sealer, code):
        await tx.flush()
        return "totp"
    used = await tx.scalar(
        update(RecoveryCode)
        .where(
            RecoveryCode.user_id == user_id,
            RecoveryCode.code_hash == digest(_normal(code)),
            RecoveryCode.used_at.is_(None),
        )
        .values(used_at=clock.now())
        .returning(RecoveryCode.user_id)
    )
    return None if used is None else "recovery_code"


def _accept(row: Totp, sealer: Sealer, code: str) -> bool:
    """Compare with the codes of the previous, this and the next step, later than the last accepted one."""
    code = read_code(code)
    if len(code) != _TOTP_DIGITS or not (code.isascii() and code.isdigit()):
        return False
    totp = pyotp.TOTP(sealer.open(row.user_id, row.secret).decode())
    now = int(clock.now().timestamp()) // STEP_SECONDS
    for step in (now - 1, now, now + 1):
        if step > row.last_step and hmac.compare_digest(totp.generate_otp(step), code):
            row.last_step = step
            return True
    return False
