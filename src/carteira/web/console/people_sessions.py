"""A person's sessions: where they are signed in, and the end of one of them."""

from functools import partial
from uuid import UUID

from fastapi import Response

from carteira import identity
from carteira.kit.db.session import Tx
from carteira.kit.web.access import acts, claims, looks
from carteira.kit.web.pagination import Page, PageRequest
from carteira.kit.web.problems import NotFound
from carteira.web.console.acts import Confirmation, ask, ask_again
from carteira.web.console.people import CLAIM, HOME
from carteira.web.console.words import WAYS
from carteira.web.formats import device_name, moment
from carteira.web.forms import FormBody
from carteira.web.page import REFUSALS, SignedPage, WebPage
from carteira.web.routing import pages

router = pages()
WRITES = "users:write"
_LOOK = "sessions_listed"
_SHOWN = 100


async def _read(user_id: UUID, tx: Tx) -> tuple[str, Page[identity.SessionView]]:
    """Return a person's name, and their newest sessions."""
    found = await identity.desk.sessions_of(tx, user_id, PageRequest(_SHOWN))
    names = await identity.names(tx, [user_id])
    return names.get(user_id, ""), found


@router.get(HOME + "/{user_id}/sessoes", dependencies=[claims(CLAIM), looks(_LOOK)])
async def show_sessions(user_id: UUID, page: SignedPage) -> Response:
    """Show where a person is signed in."""
    name, found = await page.read(partial(_read, user_id))
    return page.show(
        "console/person_sessions.html",
        home=HOME,
        person_id=user_id,
        name=name,
        sessions=[(one, device_name(one.device), ways_of(one)) for one in found.items],
        more=found.next_cursor is not None,
        current=page.who.session_id,
    )


def ways_of(session: identity.SessionView) -> str:
    """Return in words the factors that a session's person has shown."""
    return ", ".join(WAYS.get(method, method) for method in session.methods)


def _ending(user_id: UUID, name: str, session: identity.SessionView) -> Confirmation:
    return Confirmation(
        title=f"Desconectar um aparelho de {name}?",
        says=("A pessoa sai só deste aparelho, agora, e recebe um aviso. A senha continua a mesma.",),
        way_back="Ela pode entrar de novo quando quiser.",
        button="Desconectar",
        path=f"{HOME}/{user_id}/sessoes/{session.id}/sair",
        back=f"{HOME}/{user_id}/sessoes",
        danger=True,
        facts=(
            ("Aparelho", device_name(session.device)),
            ("Rede", session.network),
            ("Entrou", f"{moment(session.created_at)}, com {ways_of(session)}"),
            ("Usado", moment(session.seen_at)),
        ),
    )


async def _one(page: WebPage, user_id: UUID, session_id: UUID) -> Confirmation:
    """Return the end of a live session, to be confirmed.

    Raises:
        NotFound: it has ended, or is another person's.
    """
    name, found = await page.read(partial(_read, user_id))
    session = next((one for one in found.items if one.id == session_id), None)
    if session is None:
        raise NotFound
    return _ending(user_id, name, session)


@router.get(HOME + "/{user_id}/sessoes/{session_id}/sair", dependencies=[claims(CLAIM, WRITES), looks(_LOOK)])
async def ask_end(user_id: UUID, session_id: UUID, page: SignedPage) -> Response:
    """Show the effects of ending one session."""
    return ask(page, await _one(page, user_id, session_id))


@router.post(HOME + "/{user_id}/sessoes/{session_id}/sair", dependencies=[claims(CLAIM, WRITES), acts("session_ended")])
async def end(user_id: UUID, session_id: UUID, page: SignedPage) -> Response:
    """End one session of a person."""
    form = await page.form(FormBody)
    act = await _one(page, user_id, session_id)
    try:
        async with page.database.transaction() as tx:
            await identity.desk.end_session(tx, page.identity.access, user_id, session_id, actor=page.user_id)
    except REFUSALS as error:
        return ask_again(page, act, form, error)
    return page.go(f"{HOME}/{user_id}/sessoes", "Aparelho desconectado.")
