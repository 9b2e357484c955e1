"""HTTP methods as traces and metrics name them: all unknown ones get one name, since callers can invent any number."""

OTHER_METHOD = "_OTHER"
"""OpenTelemetry's name for a method that is not known."""
_KNOWN = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def known_method(method: str) -> str:
    """Return the method, or `OTHER_METHOD` for one that is not known."""
    return method if method in _KNOWN else OTHER_METHOD
