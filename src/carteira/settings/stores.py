"""The settings of PostgreSQL and Redis; a part of `Settings`, in a file of its own."""

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings

from carteira.kit.db.address import DatabaseAddress, Replica
from carteira.kit.outbound.redis_address import RedisAddress


class StoreSettings(BaseSettings):
    """The addresses of PostgreSQL, its replica and Redis."""

    database_url: SecretStr | None = Field(
        None,
        description="PostgreSQL 17 or 18 (`postgresql://…`, with the options of libpq); empty: `carteira run` "
        "starts its own.",
    )
    migration_database_url: SecretStr | None = Field(
        None,
        description="PostgreSQL as the owner of the tables, for `carteira migrate` only; empty: `DATABASE_URL`.",
    )
    database_one_role: bool = Field(
        False,
        description="Accept that the role of `DATABASE_URL` owns the tables or may change append-only tables; "
        "production refuses it otherwise.",
    )
    database_insecure: bool = Field(
        False, description="Accept PostgreSQL on another host without TLS; production refuses it otherwise."
    )
    database_pool_size: int = Field(10, ge=2, le=200, description="Connections to PostgreSQL per process.")
    database_read_url: SecretStr | None = Field(
        None,
        description="One or more replicas of PostgreSQL, for reads that may be some seconds old (exports of "
        "users); empty, or while the replica is unreachable or late: `DATABASE_URL`.",
    )
    database_read_lag_seconds: int = Field(
        10, ge=1, le=3600, description="Seconds that the replica of `DATABASE_READ_URL` may be late."
    )
    redis_url: SecretStr | None = Field(
        None,
        description="Redis or Valkey (`rediss://…`, or by Sentinel `rediss+sentinel://…?service=…`); empty: "
        "`carteira run` starts its own.",
    )
    redis_insecure: bool = Field(
        False, description="Accept Redis on another host without TLS; production refuses it otherwise."
    )

    @field_validator("database_url", "migration_database_url", "database_read_url")
    @classmethod
    def _database_is_understood(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None:
            DatabaseAddress.parse(url.get_secret_value())
        return url

    @field_validator("redis_url")
    @classmethod
    def _redis_is_understood(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None:
            RedisAddress.parse(url.get_secret_value())
        return url

    def database(self) -> str:
        """Return PostgreSQL's address as a plain `postgresql://` URL.

        Raises:
            LookupError: none is set and none was started.
        """
        if self.database_url is None:
            raise LookupError("DATABASE_URL is not set and no embedded PostgreSQL runs: start one with `carteira run`")
        return self.database_url.get_secret_value()

    def redis(self) -> str | None:
        """Return Redis's address, if there is one."""
        return None if self.redis_url is None else self.redis_url.get_secret_value()

    def owner_database(self) -> str:
        """Return PostgreSQL's address as the owner of the tables: `MIGRATION_DATABASE_URL`, or else `DATABASE_URL`.

        Raises:
            LookupError: neither is set and none was started.
        """
        owner = self.migration_database_url
        return self.database() if owner is None else owner.get_secret_value()

    def replica(self) -> Replica | None:
        """Return the replica for reads that may be some seconds old, if there is one."""
        url = self.database_read_url
        return None if url is None else Replica(url.get_secret_value(), self.database_read_lag_seconds)
