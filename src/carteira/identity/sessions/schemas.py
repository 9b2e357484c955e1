"""Wire shapes of sessions."""

from dataclasses import asdict
from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from carteira.identity.fields import Token
from carteira.identity.sessions.service import SessionView
from carteira.kit.web.bodies import Body


class TokensOut(BaseModel):
    """A session's tokens."""

    access_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105 - RFC 6750's word
    expires_in: int = Field(description="Segundos até o access_token expirar")
    refresh_token: str
    user_id: UUID
    password_change_required: Literal[True] | None = None


class RefreshIn(Body):
    """A refresh token."""

    refresh_token: Token


class UserSessionOut(BaseModel):
    """A person's session, as operators see it."""

    id: UUID
    device: str
    network: str = Field(description="Rede de origem, sem a parte que identifica a casa")
    methods: list[str]
    created_at: datetime
    seen_at: datetime
    expires_at: datetime
    signed_in_at: datetime = Field(description="Quando a pessoa deu o primeiro fator pela última vez")
    second_factor_at: datetime | None = Field(description="Quando mostrou o segundo fator pela última vez")

    model_config = ConfigDict(from_attributes=True)


class SessionOut(UserSessionOut):
    """One of one's own sessions."""

    current: bool

    @classmethod
    def of(cls, session: SessionView, *, current: bool) -> "SessionOut":
        """Return a session, marked if it is the present one."""
        return cls(**asdict(session), current=current)
