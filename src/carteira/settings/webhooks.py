"""The settings of clients' webhooks; a part of `Settings`, in a file of its own."""

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings

from carteira.settings import rules


class WebhookSettings(BaseSettings):
    """The settings of webhooks."""

    webhook_networks: str = Field(
        "none",
        description="Private networks, comma-separated, that may receive webhooks beside public addresses, or "
        "`none`; in development always this machine.",
    )
    webhook_retry_hours: int = Field(24, ge=1, le=168, description="Hours after which a webhook is given up.")
    webhook_days: int = Field(30, ge=1, le=365, description="Days that webhooks' deliveries are kept for replays.")
    webhook_calls: int = Field(32, ge=1, le=500, description="Webhook endpoints that a worker calls at the same time.")

    @field_validator("webhook_networks")
    @classmethod
    def _targets(cls, text: str) -> str:
        return rules.networks(text)
