"""What the composition root hands to identity."""

from dataclasses import dataclass
from pathlib import Path

ACCESS_SECONDS = 600
REFRESH_DAYS = 7
SESSION_DAYS = 30
DEVICE_DAYS = 400
GENERATED_PASSWORD_DAYS = 7


@dataclass(frozen=True)
class Config:
    """Identity's settings."""

    home: Path
    """Folder of keys, exports and, in development, of SMS."""
    signing_key: Path
    """PEM file of the key that signs access tokens; retired keys lie beside it."""
    sealing_key: Path
    """File of the key that seals authenticators' secrets at rest."""
    development: bool = True
    """Takes operators' tokens that carry their own claims; cookies need no TLS."""
    redis_url: str | None = None
    smtp_url: str | None = None
    mail_from: str = "nao-responda@carteira.localhost"
    sms_url: str | None = None
    sms_token: str | None = None
    export_days_kept: int = 7
    """How many daily exports are kept; 0 makes none."""
