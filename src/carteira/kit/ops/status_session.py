"""A session of `requests` that takes of each answer its status and headers alone.

The collector's answers are not read any further; one that had no end would fill the memory of who sends traces.
"""

from io import BytesIO
from typing import Any

from requests import Response, Session

MOST_BYTES = 4_096
"""Of an answer: one that is as short leaves its connection open for the next export."""


class StatusSession(Session):
    """A session whose answers have no bodies."""

    def __init__(self) -> None:
        super().__init__()
        self.hooks["response"] = [_without_body]


def _without_body(answer: Response, **_options: Any) -> Response:  # noqa: ANN401 - the library's own
    answer.raw.read(MOST_BYTES)
    answer.close()
    bare = Response()
    bare.status_code, bare.reason, bare.url = answer.status_code, answer.reason, answer.url
    bare.headers = answer.headers
    bare.raw = BytesIO()
    return bare
