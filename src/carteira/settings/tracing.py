"""The settings of traces (OpenTelemetry's `OTEL_…`, Elastic APM's addresses as aliases) and of errors.

The SDK itself reads the standard's other variables (`OTEL_BSP_…`, `OTEL_EXPORTER_OTLP_CERTIFICATE`, …), from the
environment only.
"""

import re
from base64 import b64encode
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final, Literal, Self
from urllib.parse import unquote

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings

from carteira import __version__
from carteira.settings import rules

if TYPE_CHECKING:
    from carteira.kit.ops.tracing import TracingConfig

Protocol = Literal["http/protobuf", "grpc"]
Sampler = Literal[
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
]
OF_THE_SDK: Final = ("OTEL_BSP_", "OTEL_EXPORTER_OTLP_", "OTEL_SPAN_", "OTEL_ATTRIBUTE_", "OTEL_LINK_", "OTEL_EVENT_")
"""Prefixes of names that the SDK reads itself: none of them is a misspelt setting."""
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"(?:[!-~](?:[ -~]*[!-~])?)?")
_NO_HEADER = "um cabeçalho tem um nome sem aspas nem espaços, e um valor de uma linha em ASCII"


class TracingSettings(BaseSettings):
    """The settings of traces and errors."""

    otel_exporter_otlp_endpoint: str | None = Field(
        None,
        description="Collector of traces (`http://localhost:4318`, over gRPC `http://localhost:4317`); empty: no "
        "traces. Needs the extra `tracing`.",
    )
    otel_exporter_otlp_traces_endpoint: str | None = Field(
        None, description="The same for traces only, used unchanged: over HTTP no `/v1/traces` is added."
    )
    otel_exporter_otlp_protocol: Protocol = Field(
        "http/protobuf", description="Protocol of the collector: `http/protobuf` or `grpc`."
    )
    otel_exporter_otlp_traces_protocol: Protocol | None = Field(
        None, description="The same for traces only; it overrides `OTEL_EXPORTER_OTLP_PROTOCOL`."
    )
    otel_exporter_otlp_headers: SecretStr | None = Field(
        None, description="Headers of each export: `name=value`, comma-separated, values percent-encoded."
    )
    otel_exporter_otlp_traces_headers: SecretStr | None = Field(
        None, description="The same for traces only; they replace `OTEL_EXPORTER_OTLP_HEADERS`."
    )
    otel_exporter_otlp_insecure: bool = Field(
        False, description="Accept a collector on another host without TLS; production refuses it otherwise."
    )
    otel_sdk_disabled: bool = Field(False, description="Turn tracing off, whatever else is set.")
    otel_traces_exporter: Literal["otlp", "none"] = Field("otlp", description="`none`: no traces.")
    otel_traces_sampler: Sampler = Field(
        "parentbased_always_on",
        description="Sampler of requests and jobs: `always_on`, `always_off` or `traceidratio`; with the prefix "
        "`parentbased_`, a trusted proxy's `traceparent` decides where there is one.",
    )
    otel_traces_sampler_arg: float = Field(
        1.0, ge=0, le=1, description="Share of traced requests and jobs, 0 to 1, of the sampler `traceidratio`."
    )
    otel_service_name: str | None = Field(None, description="Name of this service in traces; empty: `carteira`.")
    otel_resource_attributes: str | None = Field(
        None,
        description="Further attributes of this service in traces: `name=value`, comma-separated, percent-encoded.",
    )
    elastic_server_url: str | None = Field(
        None, description="Server of Elastic APM (`http://localhost:8200`), instead of the collector's address."
    )
    elastic_service_name: str | None = Field(None, description="The same as `OTEL_SERVICE_NAME`.")
    elastic_secret_token: SecretStr | None = Field(None, description="Elastic APM's secret token, as a bearer token.")
    elastic_user: str | None = Field(
        None, description="User of a proxy in front of Elastic that requires one, where there is no secret token."
    )
    elastic_password: SecretStr | None = Field(None, description="Its password.")
    sentry_dsn: SecretStr | None = Field(
        None,
        description="Receiver of error reports, with Sentry's protocol (`https://key@host/project`); empty: errors "
        "are only logged. Needs the extra `tracing`.",
    )

    @field_validator("otel_exporter_otlp_endpoint", "otel_exporter_otlp_traces_endpoint", "elastic_server_url")
    @classmethod
    def _collector(cls, url: str | None) -> str | None:
        if url is not None:
            rules.address(url, rules.WEB)
        return url

    @field_validator("otel_resource_attributes")
    @classmethod
    def _attributes(cls, text: str | None) -> str | None:
        pairs(text)
        return text

    @field_validator("otel_exporter_otlp_headers", "otel_exporter_otlp_traces_headers")
    @classmethod
    def _headers(cls, text: SecretStr | None) -> SecretStr | None:
        for name, value in pairs(text.get_secret_value() if text else None).items():
            if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
                raise ValueError(_NO_HEADER)
        return text

    @field_validator("elastic_secret_token")
    @classmethod
    def _token(cls, token: SecretStr | None) -> SecretStr | None:
        """Return it without the blanks around it; a library would log a token that is no header's value."""
        if token is None:
            return None
        bare = token.get_secret_value().strip()
        if not _HEADER_VALUE.fullmatch(bare):
            raise ValueError(_NO_HEADER)
        return SecretStr(bare)

    @field_validator("sentry_dsn")
    @classmethod
    def _dsn(cls, dsn: SecretStr | None) -> SecretStr | None:
        if dsn is not None:
            parts = rules.address(dsn.get_secret_value(), rules.WEB)
            if not parts.username or not parts.path.strip("/"):
                raise ValueError("deve ser https://chave@máquina/projeto")
        return dsn

    @model_validator(mode="after")
    def _is_installed(self) -> Self:
        for name, wanted, package in (
            ("OTEL_EXPORTER_OTLP_ENDPOINT", self._collector_url() is not None, "opentelemetry.exporter"),
            ("SENTRY_DSN", self.sentry_dsn is not None, "sentry_sdk"),
        ):
            if wanted and not _has(package):
                raise ValueError(f"{name} precisa do extra tracing: instale carteira[tracing]")
        return self

    def _collector_url(self) -> str | None:
        if self.otel_sdk_disabled or self.otel_traces_exporter == "none":
            return None
        if self.otel_exporter_otlp_traces_endpoint is not None:
            return self.otel_exporter_otlp_traces_endpoint
        base = self.otel_exporter_otlp_endpoint or self.elastic_server_url
        if base is None or self._protocol == "grpc":
            return base
        return f"{base.rstrip('/')}/v1/traces"

    @property
    def _protocol(self) -> Protocol:
        return self.otel_exporter_otlp_traces_protocol or self.otel_exporter_otlp_protocol

    def sentry(self) -> str | None:
        """Return the address that receives errors; None: they are only logged."""
        return self.sentry_dsn.get_secret_value() if self.sentry_dsn else None

    def tracing(self, environment: str) -> "TracingConfig | None":
        """Return how this process traces; None if it does not."""
        from carteira.kit.ops.tracing import TracingConfig  # noqa: PLC0415 - it imports asyncpg; a supervisor is small

        url = self._collector_url()
        if url is None:
            return None
        sampler = self.otel_traces_sampler.removeprefix("parentbased_")
        return TracingConfig(
            endpoint=url,
            protocol=self._protocol,
            headers=self._headers_of(),
            ratio={"always_on": 1.0, "always_off": 0.0}.get(sampler, self.otel_traces_sampler_arg),
            heeds_parent=self.otel_traces_sampler.startswith("parentbased_"),
            resource={
                "service.version": __version__,
                "deployment.environment.name": environment,
                "deployment.environment": environment,  # its former name, which Elastic APM uses
                **pairs(self.otel_resource_attributes),
                "service.name": self.otel_service_name or self.elastic_service_name or "carteira",
            },
        )

    def _headers_of(self) -> dict[str, str]:
        """Return an export's headers, with lower-case names, as gRPC requires."""
        headers = {}
        if self.elastic_secret_token is not None:
            headers["authorization"] = f"Bearer {self.elastic_secret_token.get_secret_value()}"
        elif self.elastic_user and self.elastic_password is not None:
            both = f"{self.elastic_user}:{self.elastic_password.get_secret_value()}"
            headers["authorization"] = f"Basic {b64encode(both.encode()).decode()}"
        text = self.otel_exporter_otlp_traces_headers or self.otel_exporter_otlp_headers
        return headers | {
            name.lower(): value for name, value in pairs(text.get_secret_value() if text else None).items()
        }

    def collectors(self) -> list[tuple[str, str]]:
        """Return the addresses of traces and errors, each with its setting's name."""
        url = self._collector_url()
        alias = self.elastic_server_url is not None and url is not None and url.startswith(self.elastic_server_url)
        named = (("ELASTIC_SERVER_URL" if alias else "OTEL_EXPORTER_OTLP_ENDPOINT", url), ("SENTRY_DSN", self.sentry()))
        return [(name, address) for name, address in named if address is not None]


def pairs(text: str | None) -> dict[str, str]:
    """Return the pairs of `name=value,name=value`, percent-decoded.

    Raises:
        ValueError: the text has another form.
    """
    found = {}
    for part in filter(None, (part.strip() for part in (text or "").split(","))):
        name, equals, value = part.partition("=")
        if not equals or not name.strip():
            raise ValueError("diga nome=valor, separados por vírgula")
        found[name.strip()] = unquote(value.strip())
    return found


def _has(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:
        return False
