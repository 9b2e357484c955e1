"""Wire shapes of invitations."""

from pydantic import BaseModel, Field


class InvitationOut(BaseModel):
    """The invited person, and the authenticator's enrolment unless one is on already."""

    full_name: str
    email: str
    secret: str | None
    otpauth_uri: str | None
    qr_svg: str | None


class InvitationAcceptedOut(BaseModel):
    """The recovery codes, shown once; from here on the person signs in with password and code."""

    recovery_codes: list[str] = Field(description="Substituem o autenticador, cada um uma vez; só nesta resposta")
