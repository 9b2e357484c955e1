"""A session of `requests` that returns only the status and the headers of each answer, and follows no redirect.

An answer's body is read up to `MOST_BYTES`; an endless one would otherwise fill this process's memory. A redirect would
send traces, with their token, to another address; it fails as an error does.
"""

from io import BytesIO
from typing import Any

from requests import Response, Session

MOST_BYTES = 4_096
"""Most bytes that are read of a body; the connection of a shorter one is used for the next export too."""


class StatusSession(Session):
    """A session whose answers have no bodies."""

    def __init__(self) -> None:
        super().__init__()
        self.max_redirects = 0
        self.hooks["response"] = [_without_body]


def _without_body(answer: Response, **_options: Any) -> Response:  # noqa: ANN401 - the library's own
    answer.raw.read(MOST_BYTES)
    answer.close()
    bare = Response()
    bare.status_code, bare.reason, bare.url = answer.status_code, answer.reason, answer.url
    bare.headers = answer.headers
    bare.raw = BytesIO()
    return bare
