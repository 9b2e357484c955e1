"""The settings of payments by Pix: the provider's address, our credentials there, and how its calls are verified."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings

Port = Annotated[int, Field(ge=1, le=65535)]
_TOGETHER = (
    "pix_token_url",
    "pix_client_id",
    "pix_client_secret",
    "pix_key",
    "pix_certificate_file",
    "pix_certificate_key_file",
)
"""The settings that `PIX_URL` requires."""
_LISTENER = ("pix_webhook_certificate_file", "pix_webhook_key_file", "pix_webhook_authority_file")
"""The settings that `PIX_WEBHOOK_PORT` requires."""


class PixSettings(BaseSettings):
    """The settings of payments."""

    pix_url: str | None = Field(
        None,
        pattern=r"^https://[^\s?#@]+$",
        description="API Pix of the payment provider, with its version (`https://pix.example/v2`); empty: no "
        "payments by Pix, and `carteira run` starts a stand-in.",
    )
    pix_token_url: str | None = Field(
        None, pattern=r"^https://[^\s?#@]+$", description="Token endpoint of the provider (OAuth2 client credentials)."
    )
    pix_client_id: str | None = Field(None, description="Client id at the provider.")
    pix_client_secret: SecretStr | None = Field(None, description="Client secret at the provider.")
    pix_scopes: str = Field(
        "cob.write cob.read pix.write pix.read webhook.write webhook.read",
        description="Scopes of the requested tokens; empty: no scope is sent.",
    )
    pix_key: str | None = Field(None, max_length=77, description="The Pix key that receives payments.")
    pix_certificate_file: Path | None = Field(
        None, description="PEM file of our client certificate at the provider (mutual TLS), with its chain."
    )
    pix_certificate_key_file: Path | None = Field(None, description="PEM file of that certificate's private key.")
    pix_authority_file: Path | None = Field(
        None, description="PEM file of the authority of the provider's certificate; empty: the system's authorities."
    )
    pix_merchant_name: str = Field(
        "Carteira",
        min_length=1,
        max_length=100,
        description="Name of the payee in the payer's bank (at most 25 letters).",
    )
    pix_merchant_city: str = Field(
        "Brasilia", min_length=1, max_length=100, description="City of the payee (at most 15 letters)."
    )
    pix_charge_minutes: int = Field(30, ge=1, le=1440, description="Minutes that a charge can be paid.")
    pix_attempt_seconds: float = Field(4.0, gt=0, le=30, description="Time for one request to the payment provider.")
    pix_budget_seconds: float = Field(
        8.0, gt=0, le=60, description="Time for all tries of one question to the payment provider."
    )
    pix_returns: Literal["automatic", "operator"] = Field(
        "automatic",
        description="`automatic`: the product returns payments without a place (late, twice, another amount); "
        "`operator`: an operator does.",
    )
    pix_webhook_url: str | None = Field(
        None,
        pattern=r"^https://[^\s?#@]+$",
        description="Address that the provider calls, as seen from outside, without `/pix` at the end; `carteira "
        "payments webhook` registers it.",
    )
    pix_webhook_host: str = Field(
        "127.0.0.1", description="Address on which the worker listens for the provider's calls."
    )
    pix_webhook_port: Port | None = Field(
        None,
        description="Port of that listener (mutual TLS); empty: no listener, and calls come through a proxy "
        "or not at all.",
    )
    pix_webhook_certificate_file: Path | None = Field(
        None, description="PEM file of the listener's certificate, with its chain."
    )
    pix_webhook_key_file: Path | None = Field(
        None, description="PEM file of the private key of the listener's certificate."
    )
    pix_webhook_authority_file: Path | None = Field(
        None, description="PEM file of the authority of the provider's client certificate; other clients are refused."
    )
    pix_webhook_proxy_header: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9-]{1,64}: ?[\x21-\x7e]{1,200}$",
        description="`Name: value` of the header with which a proxy of `TRUSTED_PROXIES` confirms the provider's "
        "certificate; empty: no proxy is trusted for it.",
    )
    pix_webhook_secret: SecretStr | None = Field(
        None, description="Secret of the HMAC-SHA256 signature of the provider's calls; empty: the calls are unsigned."
    )
    pix_webhook_signature_header: str = Field(
        "X-Signature", pattern=r"^[A-Za-z0-9-]{1,64}$", description="Header of that signature, in hexadecimal."
    )

    @model_validator(mode="after")
    def _pix_is_whole(self) -> Self:
        for setting, names in (("pix_url", _TOGETHER), ("pix_webhook_port", _LISTENER)):
            missing = [name.upper() for name in names if getattr(self, name) is None]
            if getattr(self, setting) is not None and missing:
                raise ValueError(f"{', '.join(missing)} precisa ser definida com {setting.upper()}")
        return self
