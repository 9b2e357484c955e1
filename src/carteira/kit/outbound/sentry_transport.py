"""Sentry's transport, which reads only the status and headers of each answer, since a body could be endless.

It follows no redirect, which would send errors, with their key, to another address.
"""

from collections.abc import Mapping
from typing import Any

import urllib3
from sentry_sdk.consts import EndpointType
from sentry_sdk.transport import HttpTransport

MOST_BYTES = 4_096
"""Most bytes that are read of a body; the connection of a shorter one is used for the next error too."""


class StatusTransport(HttpTransport):
    """A transport whose answers have no bodies."""

    def _request(
        self,
        method: str,
        endpoint_type: EndpointType,
        body: Any,  # noqa: ANN401 - the library's own
        headers: Mapping[str, str],
    ) -> urllib3.BaseHTTPResponse:
        url = self._auth.get_api_url(endpoint_type)
        answer = self._pool.request(method, url, body=body, headers=headers, preload_content=False, redirect=False)
        answer.read(MOST_BYTES)
        answer.close()
        return urllib3.HTTPResponse(b"", answer.headers, answer.status)
