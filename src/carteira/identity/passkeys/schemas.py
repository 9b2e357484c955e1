"""Wire shapes of passkeys."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from carteira.kit.values.texts import SEEN_TEXT
from carteira.kit.web.bodies import Body

_NAME_LENGTH = 60


def _label(text: str) -> str:
    label = " ".join(text.split())
    if not label or len(label) > _NAME_LENGTH or not label.isprintable():
        raise PydanticCustomError("invalid_name", "O nome deve ter de 1 a 60 caracteres visíveis.")
    return label


Label = Annotated[
    str,
    Field(max_length=200),
    AfterValidator(_label),
    WithJsonSchema(
        {
            "type": "string",
            "maxLength": _NAME_LENGTH,
            "pattern": SEEN_TEXT,
            "examples": ["Celular da Maria"],
        }
    ),
]
Credential = Annotated[
    dict[str, Any],
    Field(
        description="O `PublicKeyCredential` do navegador (`toJSON()`)", examples=[{"id": "…", "type": "public-key"}]
    ),
]


class PasskeyRegisterIn(Body):
    """A new passkey."""

    credential: Credential
    name: Label = "Chave de acesso"


class PasskeyLoginIn(Body):
    """A passkey's answer to the server's challenge."""

    credential: Credential


class PasskeyPatch(Body):
    """A passkey's new name."""

    name: Label


class PasskeyOut(BaseModel):
    """A passkey of the person who asks."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    name: str
    backed_up: bool = Field(description="Sincronizada entre aparelhos")
    created_at: datetime
    used_at: datetime | None
