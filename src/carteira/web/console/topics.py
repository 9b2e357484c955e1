"""The assistant's topics: versions, an editor, and a try-out of questions."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Annotated, Any
from uuid import UUID

from fastapi import Path, Response
from pydantic import BeforeValidator, Field

from carteira import assistant, identity
from carteira.kit.db.session import Tx
from carteira.kit.web.access import acts, claims, reads
from carteira.kit.web.pagination import Page
from carteira.kit.web.preconditions import Precondition, RecordChanged
from carteira.kit.web.problems import NotFound
from carteira.web.console.acts import ActField, Confirmation, ask, ask_again
from carteira.web.console.cells import Cell, badge, count, mono, words
from carteira.web.console.tables import GROWING, Filter, Table, TableAsked, TableColumn, offer_csv
from carteira.web.forms import FormBody, Reading
from carteira.web.page import REFUSALS, SignedPage, WebPage
from carteira.web.routing import pages

router = pages("assistant")
HOME, TRY_OUT = "/console/assuntos", "/console/assuntos/experimentar"
READS, WRITES = "assistant:read", "assistant:write"
_NOBODYS = reads("what the assistant knows is nobody's")
_KINDS = {"faq": "Pergunta", "intent": "Ação", "outside": "Fora do assunto"}
_MEANT = {
    "answer": "Responderia com o assunto",
    "intent": "Começaria a ação",
    "denied": "Entenderia que a pessoa não quer",
    "unknown": "Não saberia responder",
    "insult": "Acalmaria a pessoa",
    "despair": "Mostraria o CVV e quem pode ajudar agora",
}
Slug = Annotated[str, Path(pattern=r"^[a-z0-9_-]{1,64}$")]


def _state(row: assistant.desk.Topic) -> Cell:
    return badge("Vale", "ok", "check") if row.active else badge("Desligado", "", "block")


def _name(row: assistant.desk.Topic) -> str:
    return row.title or _KINDS[row.kind]


TABLE: Table[assistant.desk.Topic] = Table(
    HOME,
    "assuntos",
    (
        TableColumn("Assunto", lambda row: words(_name(row)), "full"),
        TableColumn("Nome curto", lambda row: mono(row.slug), order=GROWING),
        TableColumn("O que é", lambda row: words(_KINDS[row.kind])),
        TableColumn("Jeitos de perguntar", lambda row: count(len(row.phrases)), "end"),
        TableColumn("Versão", lambda row: count(row.version), "end"),
        TableColumn("Situação", _state, "stack-end"),
    ),
    key=lambda row: row.slug,
    filters=(Filter("palavras", "Palavras", grows=True),),
    opens=lambda row: f"{HOME}/{row.slug}",
)


async def _read(_page: WebPage, tx: Tx, asked: TableAsked, limit: int) -> Page[assistant.desk.Topic]:
    return await assistant.desk.topics(tx, asked.get("palavras"), asked.page_request(assistant.desk.TOPICS, limit))


@router.get(HOME, dependencies=[claims(READS), _NOBODYS])
async def show_topics(page: SignedPage) -> Response:
    """List the topics."""
    return await TABLE.answer(page, partial(_read, page), template="console/topics.html")


offer_csv(router, TABLE, _read, READS)


class TryOutForm(FormBody):
    """A question to try out."""

    question: Annotated[str, Field(min_length=1, max_length=500)]


@router.get(TRY_OUT, dependencies=[claims(READS), _NOBODYS])
async def ask_question(page: SignedPage) -> Response:
    """Ask for a question to try out."""
    return page.show("console/try_out.html", home=HOME, tried=None, meant="")


@router.post(TRY_OUT, dependencies=[claims(READS), acts("assistant_tried_out")])
async def try_out(page: SignedPage) -> Response:
    """Show the topic that the assistant finds for a question; the audit records the try-out, not the question."""
    form = await page.form(TryOutForm)
    if form.value is None:
        return page.show("console/try_out.html", status=422, form=form, home=HOME, tried=None, meant="")
    tried = await assistant.desk.try_out(assistant.ASSISTANT.of(page.request.app), page.database, form.value.question)
    return page.show("console/try_out.html", form=form, home=HOME, tried=tried, meant=_MEANT[tried.kind])


def _lines(text: object) -> object:
    return [line.strip() for line in text.splitlines() if line.strip()] if isinstance(text, str) else text


def _empty(text: object) -> object:
    return text or None


class SeenForm(FormBody):
    """The version that an editor started from."""

    seen: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0


class TopicForm(SeenForm):
    """A topic's content."""

    title: Annotated[str, Field(max_length=200)] = ""
    answer: Annotated[str, Field(max_length=2000)] = ""
    action: Annotated[str | None, BeforeValidator(_empty), Field(max_length=64)] = None
    page: Annotated[str | None, BeforeValidator(_empty), Field(max_length=64)] = None
    phrases: Annotated[list[assistant.desk.Line], Field(min_length=1, max_length=500), BeforeValidator(_lines)]
    active: str = ""


class NewTopicForm(TopicForm):
    """A new topic, with its short name."""

    slug: Annotated[str, Field(pattern=r"^[a-z0-9_][a-z0-9_-]{0,63}$")]


def _fields(topic: assistant.desk.Topic | None) -> tuple[ActField, ...]:
    asks = topic is None or topic.kind == "faq"
    return (
        ActField("title", "Título, como a pessoa lê", value=topic.title if topic else "", required=asks),
        ActField("answer", "Resposta", "long", value=topic.answer if topic else "", required=asks),
        ActField(
            "phrases",
            "Jeitos de perguntar",
            "long",
            help="Um por linha. Quanto mais, melhor é reconhecido.",
            value="\n".join(topic.phrases) if topic else "",
        ),
        ActField(
            "page",
            "Página da carteira que a resposta indica",
            "choice",
            choices=tuple((path, link.title) for path, link in assistant.desk.PAGES.items()),
            value=(topic.page or "") if topic else "",
            required=False,
        ),
        ActField(
            "action",
            "Ação que a resposta oferece",
            "choice",
            choices=tuple(assistant.desk.ACTIONS.items()),
            value=(topic.action or "") if topic else "",
            required=False,
        ),
        ActField("active", "Este assunto vale", "check", value="sim" if topic is None or topic.active else ""),
    )


def _adding() -> Confirmation:
    slug = ActField("slug", "Nome curto", help="Letras sem acento, números, - e _; não muda depois.")
    return Confirmation(
        title="Criar um assunto",
        says=("Vale em segundos, em todos os servidores.",),
        way_back="Um assunto pode ser mudado ou desligado.",
        button="Criar o assunto",
        path=f"{HOME}/novo",
        back=HOME,
        fields=(slug, *_fields(None)),
    )


def _changing(topic: assistant.desk.Topic, *, shows_now: bool = False) -> Confirmation:
    """Return the change of a topic; with `shows_now` the stored content is shown beside the typed one."""
    return Confirmation(
        title=f"Mudar “{_name(topic)}”",
        says=("A versão nova vale em segundos; a anterior fica guardada.",),
        way_back="“Voltar a esta versão”, na página do assunto.",
        button="Salvar",
        path=f"{HOME}/{topic.slug}/mudar",
        back=f"{HOME}/{topic.slug}",
        fields=_fields(topic),
        facts=_facts(topic) if shows_now else (),
        seen=(("seen", str(topic.version)),),
    )


def _facts(said: assistant.desk.Topic | assistant.desk.TopicVersionOut) -> tuple[tuple[str, str], ...]:
    return (
        ("Título", said.title),
        ("Resposta", said.answer),
        ("Jeitos de perguntar", "; ".join(said.phrases)),
        ("Vale", "sim" if said.active else "não"),
    )


def _fault(form: Reading[Any], *, asks: bool) -> Reading[Any]:
    """Return the form with the errors that the fields' own rules do not find."""
    asked = form.value
    if asked is None:
        return form
    wrong = form
    if asks:
        for name in ("title", "answer"):
            wrong = wrong if getattr(asked, name).strip() else wrong.at(name, "Preencha este campo.")
    if asked.action is not None and asked.action not in assistant.desk.ACTIONS:
        wrong = wrong.at("action", "Escolha uma das opções.")
    if asked.page is not None and asked.page not in assistant.desk.PAGES:
        wrong = wrong.at("page", "Escolha uma das opções.")
    return wrong


def _content(asked: TopicForm) -> assistant.desk.Content:
    return assistant.desk.Content(
        asked.title.strip(), asked.answer.strip(), asked.action, tuple(asked.phrases), bool(asked.active), asked.page
    )


@router.get(f"{HOME}/novo", dependencies=[claims(READS, WRITES), _NOBODYS])
async def ask_topic(page: SignedPage) -> Response:
    """Show the form of a new topic."""
    return ask(page, _adding())


@router.post(f"{HOME}/novo", dependencies=[claims(READS, WRITES), acts("assistant_topic_written")])
async def add(page: SignedPage) -> Response:
    """Add a topic; an existing one of that name is not overwritten."""
    form = _fault(await page.form(NewTopicForm), asks=True)
    if form.value is None or form.errors:
        return ask_again(page, _adding(), form)
    try:
        return await _put(page, form.value.slug, _content(form.value), seen=0)
    except RecordChanged:
        return ask_again(page, _adding(), form.at("slug", "Já há um assunto com este nome."))
    except REFUSALS as error:
        return ask_again(page, _adding(), form, error)


async def _put(page: WebPage, slug: str, content: assistant.desk.Content, *, seen: int) -> Response:
    """Save a topic's new version.

    Raises:
        RecordChanged: its version is no longer the one that was shown.
    """
    known = Precondition(version=str(seen)) if seen else Precondition(absent=True)
    async with page.database.transaction() as tx:
        topic = await assistant.desk.put_topic(tx, slug, content, author_id=page.user_id, seen=known)
    return page.go(f"{HOME}/{slug}", f"Assunto salvo na versão {topic.version}.")


@router.get(HOME + "/{slug}", dependencies=[claims(READS), _NOBODYS])
async def show_topic(slug: Slug, page: SignedPage) -> Response:
    """Show a topic and its versions."""

    async def read(tx: Tx) -> tuple[assistant.desk.Topic, list[assistant.desk.TopicVersionOut], Mapping[UUID, str]]:
        topic, versions = await assistant.desk.topic(tx, slug), await assistant.desk.versions(tx, slug)
        authors = {version.author_id for version in versions if version.author_id is not None}
        return topic, versions, await identity.names(tx, sorted(authors)) if authors else {}

    topic, versions, names = await page.read(read)
    return page.show(
        "console/topic.html",
        home=HOME,
        topic=topic,
        name=_name(topic),
        state=_state(topic),
        versions=versions,
        names=names,
        page_title=assistant.desk.PAGES[topic.page].title if topic.page in assistant.desk.PAGES else "",
        action=assistant.desk.ACTIONS.get(topic.action or "", ""),
    )


async def _one(page: WebPage, slug: str) -> assistant.desk.Topic:
    return await page.read(lambda tx: assistant.desk.topic(tx, slug))


@router.get(HOME + "/{slug}/mudar", dependencies=[claims(READS, WRITES), _NOBODYS])
async def ask_change(slug: Slug, page: SignedPage) -> Response:
    """Show the editor of a topic."""
    return ask(page, _changing(await _one(page, slug)))


@router.post(HOME + "/{slug}/mudar", dependencies=[claims(READS, WRITES), acts("assistant_topic_written")])
async def change(slug: Slug, page: SignedPage) -> Response:
    """Save a topic's new version; say so if another was saved meanwhile."""
    topic = await _one(page, slug)
    form = _fault(await page.form(TopicForm), asks=topic.kind == "faq")
    if form.value is None or form.errors:
        return ask_again(page, _changing(topic), form)
    try:
        return await _put(page, slug, _content(form.value), seen=form.value.seen)
    except RecordChanged:
        now = await _one(page, slug)
        message = f"Alguém mudou este assunto enquanto você escrevia. A versão {now.version}, de agora, está abaixo."
        again = replace(form, typed={name: text for name, text in form.typed.items() if name != "seen"})
        return ask(page, _changing(now, shows_now=True), again.saying(f"{message} Confira e salve."), status=409)
    except REFUSALS as error:
        return ask_again(page, _changing(topic), form, error)


async def _former(page: WebPage, slug: str, number: int) -> tuple[assistant.desk.TopicVersionOut, Confirmation]:
    versions = await page.read(lambda tx: assistant.desk.versions(tx, slug))
    found = next((one for one in versions if one.version == number), None)
    if found is None:
        raise NotFound
    act = Confirmation(
        title=f"Voltar à versão {number}?",
        says=("O que ela dizia vira a versão nova, e vale em segundos.",),
        way_back="A versão de agora fica guardada.",
        button="Voltar a esta versão",
        path=f"{HOME}/{slug}/versoes/{number}",
        back=f"{HOME}/{slug}",
        facts=_facts(found),
        seen=(("seen", str(versions[0].version)),),
    )
    return found, act


@router.get(HOME + "/{slug}/versoes/{number}", dependencies=[claims(READS, WRITES), _NOBODYS])
async def ask_former(slug: Slug, number: int, page: SignedPage) -> Response:
    """Show a former version, to go back to."""
    return ask(page, (await _former(page, slug, number))[1])


@router.post(HOME + "/{slug}/versoes/{number}", dependencies=[claims(READS, WRITES), acts("assistant_topic_written")])
async def go_back(slug: Slug, number: int, page: SignedPage) -> Response:
    """Save a former version's content as a new version."""
    form = await page.form(SeenForm)
    found, act = await _former(page, slug, number)
    if form.value is None:
        return ask_again(page, act, form)
    content = assistant.desk.Content(
        found.title, found.answer, found.action, tuple(found.phrases), found.active, found.page
    )
    try:
        return await _put(page, slug, content, seen=form.value.seen)
    except RecordChanged:
        return ask(page, (await _former(page, slug, number))[1], form, status=409)
    except REFUSALS as error:
        return ask_again(page, act, form, error)
