"""The chatbot: people who talk to it, and its general answers."""

from dataclasses import dataclass
from typing import Any

from tests.support.app import RunningApp
from tests.support.people import Person

UNKNOWN = "Não sei responder a isso"
MENU = [
    "1. Consultar o saldo do meu cartão",
    "2. Cancelar um cartão",
    "3. Guardar um documento",
    "4. Ver meus documentos",
    "5. Fazer uma pergunta",
]


@dataclass
class ChatUser(Person):
    """A person in conversation."""

    async def start(self) -> dict[str, Any]:
        response = await self.post("/chatbot/start")
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer

    async def say(self, message: str, **more: str) -> dict[str, Any]:
        response = await self.post("/chatbot/chat", {"message": message, **more})
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        assert set(answer) == {"message", "options", "end_conversation", "upload", "page"}
        return answer

    async def cards(self) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = (await self.get("/transport-cards")).json()["items"]
        return items

    async def another_card(self) -> str:
        number: str = (await self.post("/transport-cards")).json()["card_number"]
        return number

    async def recharge(self, card_number: str, amount: int) -> None:
        response = await self.post(f"/transport-cards/{card_number}/recharge", {"amount": amount})
        assert response.status_code == 200, response.text

    async def documents(self) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = (await self.get("/documents")).json()["items"]
        return items


def chat_user(app: RunningApp, *claims: str) -> ChatUser:
    """Return a new person with these claims."""
    person = app.person(*claims)
    return ChatUser(app.client, person.id, person.headers)
