"""Every intent as a story over HTTP: who the person is, the messages and answers, and the result."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import httpx
from joserfc.jwk import OctKey

from carteira.app import access_key_path
from carteira.kit.security import tokens
from carteira.kit.values.clock import clock
from carteira.settings.production import DEVELOPMENT_JWT_SECRET
from tests.support.benefits import AUTHORIZER, FOOD, processor_token, purchase
from tests.support.chat import MENU
from tests.support.files import pdf
from tests.support.people import PASSWORD, new_cpf
from tests.support.server import Server

CPF = "529.982.247-25"
Answer = dict[str, Any]


@dataclass
class Customer:
    """A person who uses a real server."""

    server: Server
    client: httpx.Client
    id: UUID = field(default_factory=uuid4)
    headers: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.headers = self.headers or {"authorization": f"Bearer {self.token()}"}

    def token(self, *claims: str, user_id: UUID | None = None) -> str:
        key = tokens.load_or_create_key(access_key_path(self.server.home))
        return tokens.sign(key, subject=str(user_id or self.id), ttl_seconds=600, claims={"claims": list(claims)})

    def call(self, method: str, path: str, **more: Any) -> httpx.Response:  # noqa: ANN401 - httpx's type
        headers = self.headers | more.pop("headers", {})
        return self.client.request(method, path, headers=headers, **more)

    def get(self, path: str) -> Any:  # noqa: ANN401 - any JSON
        answer = self.call("GET", path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path: str, **more: Any) -> Any:  # noqa: ANN401 - any JSON
        answer = self.call("POST", path, **more)
        assert answer.status_code in {200, 201}, answer.text
        return answer.json()

    def say(self, message: str) -> Answer:
        answer: Answer = self.post("/chatbot/chat", json={"message": message})
        return answer

    def send_file(self, asked: Answer) -> None:
        sent = self.call("PUT", asked["upload"]["path"], files={"file": ("cpf.pdf", pdf(), "application/pdf")})
        assert sent.status_code == 200, sent.text

    def cards(self) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = self.get("/transport-cards")["items"]
        return items

    def belongings(self) -> tuple[object, ...]:
        """The state that stories change."""
        cards = [(card["card_number"], card["status"], card["balance"]) for card in self.cards()]
        return cards, [(item["id"], item["version"]) for item in self.get("/documents")["items"]]


def client_of(server: Server) -> httpx.Client:
    """Return a client whose every request has its own connection, so that any worker may get it."""
    return httpx.Client(base_url=server.url, limits=httpx.Limits(max_keepalive_connections=0), timeout=60)


def _card(person: Customer, amount: int = 700) -> None:
    (card,) = person.cards()
    person.post(f"/transport-cards/{card['card_number']}/recharge", json={"amount": amount})


def _blocked(person: Customer) -> None:
    _card(person)
    (card,) = person.cards()
    person.post(f"/transport-cards/{card['card_number']}/block")


def _two_cards(person: Customer) -> None:
    _card(person)
    person.post("/transport-cards")


def _document(person: Customer) -> None:
    person.post("/documents", json={"document_type": "CPF", "document_number": CPF})


def _benefits(person: Customer) -> None:
    opened = {"account": f"s-{person.id}", "user_id": str(person.id), "balances": {"FOOD": 5000}}
    operator = {"authorization": f"Bearer {person.token('benefits:write', user_id=uuid4())}"}
    person.post("/benefits/accounts", json=opened, headers=operator)


def _declined(person: Customer) -> None:
    _benefits(person)
    processor = processor_token(OctKey.import_key(DEVELOPMENT_JWT_SECRET))
    body = purchase(f"s-{person.id}", "90.00", FOOD, merchant="MERCADO DO ZE   SAO PAULO BR")
    assert person.post(AUTHORIZER, content=body, headers={"authorization": f"Bearer {processor}"}) == {"code": "51"}


def _reseller(person: Customer) -> None:
    cpf, email = new_cpf(), f"{person.id}@exemplo.com.br"
    body = {"full_name": "Rita de Souza", "cpf": cpf, "email": email, "password": PASSWORD}
    registered = person.client.post("/resellers", json=body)
    assert registered.status_code == 201, registered.text
    signed_in = person.client.post("/auth/login", data={"username": email, "password": PASSWORD}).json()
    person.id = UUID(registered.json()["user_id"])
    person.headers = {"authorization": f"Bearer {signed_in['access_token']}"}
    bought = {"code": f"NF-{person.id}", "amount": 120_000, "date": clock.today().isoformat(), "cpf": cpf}
    person.post("/purchases", json=bought)


@dataclass(frozen=True)
class Turn:
    """A person's message and a part of the answer; with it they may send the file that was asked for."""

    says: str
    told: str
    sends_file: bool = False


def _nobody(_: Customer) -> None:
    return


@dataclass(frozen=True)
class Story:
    """An intent carried out to its end."""

    name: str
    intent: str
    turns: Sequence[Turn]
    prepare: Callable[[Customer], None] = _nobody
    holds: Callable[[Customer], None] = _nobody
    """The state that is true at the end and not before."""


def _is_cancelled(person: Customer) -> None:
    assert [card["status"] for card in person.cards()] == ["cancelled"]


def _is_blocked(person: Customer) -> None:
    assert [card["status"] for card in person.cards()] == ["blocked"]


def _has_moved(person: Customer) -> None:
    assert [(card["status"], card["balance"]) for card in person.cards()] == [("cancelled", 0), ("active", 700)]


def _has(*balances: int) -> Callable[[Customer], None]:
    def holds(person: Customer) -> None:
        assert [card["balance"] for card in person.cards()] == list(balances)

    return holds


def _holds_document(version: int) -> Callable[[Customer], None]:
    def holds(person: Customer) -> None:
        documents = person.get("/documents")["items"]
        assert {(item["document_number"], item["version"]) for item in documents} == {("52998224725", version)}

    return holds


def _is_waiting(person: Customer) -> None:
    assert "está aberto" in person.say("meu atendimento")["message"]


_NUMBER = Turn(CPF, "envie o arquivo")
_TYPE = [Turn("3", "Que tipo"), Turn("cpf", "número")]
STORIES = [
    Story("balance", "balance", [Turn("qual meu saldo?", "R$ 7,00")], _card),
    Story(
        "cancel", "cancel_card", [Turn("quero cancelar meu cartão", "definitivo"), Turn("sim", "cancelado")],
        _card, _is_cancelled,
    ),
    Story(
        "cancel one of two", "cancel_card",
        [Turn("2", "Qual cartão"), Turn("1", "R$ 7,00"), Turn("1", "definitivo"), Turn("sim", "O saldo foi para")],
        _two_cards, _has_moved,
    ),
    Story(
        "document", "save_document", [*_TYPE, _NUMBER, Turn("sem arquivo", "guardado sem arquivo")],
        holds=_holds_document(0),
    ),
    Story(
        "document with its file", "save_document",
        [*_TYPE, Turn(CPF, "envie o arquivo", sends_file=True), Turn("pronto", "cpf.pdf")],
        holds=_holds_document(1),
    ),
    Story("my documents", "my_documents", [Turn("ver meus documentos", "CPF, final 725")], _document),
    Story("question", "ask", [Turn("5", "Qual é a sua pergunta?"), Turn("esqueci minha senha", "Esqueci a senha")]),
    Story("benefit balance", "benefit_balance", [Turn("saldo dos benefícios", "R$ 50,00")], _benefits),
    Story("benefit statement", "benefit_statement", [Turn("extrato dos benefícios", "+R$ 50,00")], _benefits),
    Story(
        "declined", "declined", [Turn("por que minha compra foi recusada", "Mercado do Ze")], _declined
    ),
    Story(
        "recharge", "recharge",
        [Turn("recarregar", "De quanto"), Turn("10,00", "R$ 10,00"), Turn("sim", "R$ 17,00")],
        _card, _has(1700),
    ),
    Story(
        "recharge one of two", "recharge",
        [Turn("recarregar", "Qual"), Turn("2", "De quanto"), Turn("R$ 5", "R$ 5,00"), Turn("1", "feita")],
        _two_cards, _has(700, 500),
    ),
    Story(
        "block", "block_card", [Turn("perdi meu cartão de ônibus, bloqueia", "bloqueado")], _card, _is_blocked,
    ),
    Story(
        "unblock", "unblock_card",
        [Turn("desbloquear um cartão", "Desbloquear"), Turn("sim", "desbloqueado")], _blocked, _has(700),
    ),
    Story(
        "cashback", "cashback_month", [Turn("quanto ganhei de cashback esse mês", "R$ 180,00")], _reseller
    ),
    Story(
        "person", "human", [Turn("falar com atendente", "conte"), Turn("Meu nome está errado", "protocolo")],
        holds=_is_waiting,
    ),
]  # fmt: skip


@dataclass
class Conversation:
    """A conversation of a person in a story, interrupted after `cut` turns."""

    story: Story
    cut: int
    person: Customer
    before: tuple[object, ...] = ()
    told: list[Answer] = field(default_factory=list)

    def begin(self) -> "Conversation":
        """Prepare the person, and go on until the cut."""
        self.story.prepare(self.person)
        self.before = self.person.belongings()
        self.go_on(0, self.cut)
        return self

    def go_on(self, start: int, end: int | None = None) -> None:
        for turn in self.story.turns[start:end]:
            answer = self.person.say(turn.says)
            assert turn.told in answer["message"], (turn, answer)
            if turn.sends_file:
                self.person.send_file(answer)
            self.told.append(answer)

    def end(self, start: int) -> None:
        """Continue from a turn to the end, where the conversation is over and its effect is there."""
        self.go_on(start)
        assert self.told[-1]["end_conversation"] is True
        self.story.holds(self.person)

    def turn_back(self) -> int:
        """Go one step back, which repeats that step's question; return the turn that comes again."""
        answer = self.person.say("voltar")
        if self.cut <= 1:
            assert answer["options"] == MENU
        else:
            assert answer == self.told[self.cut - 2]
        return max(0, self.cut - 1)
