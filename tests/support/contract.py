"""The contract of the whole application, made once a process, since several files read it at collection."""

from functools import cache
from typing import Any

from carteira.app import create_app
from carteira.settings import Settings


@cache
def openapi_document() -> dict[str, Any]:
    """Return `/openapi.json` with every module on."""
    return create_app(Settings.model_validate({"environment": "development"})).api.openapi()
