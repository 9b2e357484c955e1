"""The settings of the nightly export of users; a part of `Settings`, in a file of its own."""

from typing import Final, Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings

from carteira.settings import rules

COLUMNS: Final = (
    "id",
    "nome",
    "e-mail",
    "CPF",
    "nascimento",
    "telefone",
    "papel",
    "permissões",
    "criado em",
    "atualizado em",
)
"""The possible columns of an export, in order; `identity` writes them (a house test compares)."""


class ExportSettings(BaseSettings):
    """The time, the place and the columns of the nightly export of users."""

    users_export_days: int = Field(
        7, ge=0, le=3650, description="Number of daily exports of users that are kept; 0: no exports."
    )
    users_export_hour: int = Field(
        3, ge=0, le=23, description="Hour of the daily export of users, which starts at half past, São Paulo time."
    )
    users_export_format: Literal["xlsx", "csv"] = Field("xlsx", description="Format of the daily export of users.")
    users_export_columns: str = Field(
        "", description=f"Columns of the daily export of users, comma-separated, of {', '.join(COLUMNS)}; empty: all."
    )
    users_export_url: str | None = Field(
        None,
        description="Place of the daily exports of users: `file:///folder` or `s3://bucket/prefix`; empty: "
        "`exports` in the home folder.",
    )

    @field_validator("users_export_url")
    @classmethod
    def _export_place(cls, url: str | None) -> str | None:
        return url and rules.storage(url)

    @field_validator("users_export_columns")
    @classmethod
    def _known_columns(cls, text: str) -> str:
        unknown = [name for name in _named(text) if name not in COLUMNS]
        if unknown:
            raise ValueError(f"não há a coluna {unknown[0]}; há {', '.join(COLUMNS)}")
        return text

    @property
    def export_columns(self) -> tuple[str, ...]:
        """The columns of the daily export, in the order in which the setting names them."""
        return tuple(dict.fromkeys(_named(self.users_export_columns))) or COLUMNS


def _named(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]
