"""AWS clients of one process: made at first use, kept while the process serves, and closed with it."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from carteira.kit.ops import tracing

_SPAN = "carteira.span"
"""The key of a trace's part in a call's context."""
ATTEMPTS = 5
"""Attempts of one call: botocore's standard mode waits between them, longer each time, with jitter."""


@dataclass(frozen=True)
class AwsAccess:
    """The address of AWS. Without an endpoint it is AWS itself, with credentials of the environment or the machine.

    With an endpoint (the embedded server, moto) and no credentials in the environment, made-up ones are used.
    """

    region: str = "sa-east-1"
    endpoint_url: str | None = None


class Aws:
    """Returns clients. Between `open` and `close` they are kept; otherwise one is made for each block."""

    def __init__(self, access: AwsAccess) -> None:
        self.access = access
        self._stack: AsyncExitStack | None = None
        self._clients: dict[str, Any] = {}
        self._making = asyncio.Lock()

    async def open(self) -> None:
        """Keep clients from now on."""
        self._stack = AsyncExitStack()

    async def close(self) -> None:
        """Close what was kept."""
        stack, self._stack, self._clients = self._stack, None, {}
        if stack is not None:
            await stack.aclose()

    @asynccontextmanager
    async def client(self, service: str) -> AsyncIterator[Any]:
        """Yield the client of a service for a block."""
        if self._stack is None:
            async with self._create(service) as client:
                yield client
            return
        if service not in self._clients:
            async with self._making:
                if service not in self._clients:
                    self._clients[service] = await self._stack.enter_async_context(self._create(service))
        yield self._clients[service]

    def _create(self, service: str) -> Any:  # noqa: ANN401 - botocore makes its clients' classes at run time
        from aiobotocore.config import AioConfig  # noqa: PLC0415 - slow to import, and not every process needs it
        from aiobotocore.session import get_session  # noqa: PLC0415 - slow to import, and only credit needs it

        made_up = {}
        if self.access.endpoint_url and "AWS_ACCESS_KEY_ID" not in os.environ and "AWS_PROFILE" not in os.environ:
            made_up = {"aws_access_key_id": "local", "aws_secret_access_key": "local"}
        session = get_session()
        if tracing.is_on():
            _trace(session)
        return session.create_client(
            service,
            region_name=self.access.region,
            endpoint_url=self.access.endpoint_url,
            config=AioConfig(
                retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
                connect_timeout=1,
                read_timeout=120,  # for a page of a scan; callers with less time use a time-out around the call
                max_pool_connections=64,
                parameter_validation=False,  # what we send is built by one function; checking it costs half a read
            ),
            **made_up,
        )


def _trace(session: Any) -> None:  # noqa: ANN401 - botocore has no types
    """Make the calls of a session's clients spans of the present trace: their names, without values."""

    def begin(model: Any, context: dict[str, Any], **_more: object) -> None:  # noqa: ANN401 - botocore has no types
        service = model.service_model.service_name
        context[_SPAN] = tracing.child(f"{service} {model.name}", "client", {"rpc.service": service})

    def end(context: dict[str, Any], exception: Exception | None = None, **_more: object) -> None:
        span = context.pop(_SPAN, None)
        if span is not None:
            tracing.end(span, type(exception) if exception is not None else None)

    session.register("before-call", begin)
    session.register("after-call", end)
    session.register("after-call-error", end)
