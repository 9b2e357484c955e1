"""`/health` (the process answers), `/health/ready` (its dependencies answer) and `/metrics`."""

import asyncio
import hmac
from collections.abc import Awaitable, Callable, Mapping
from typing import Literal

import structlog
from fastapi import APIRouter, FastAPI, Request, Response
from pydantic import BaseModel, Field

from carteira.kit.ops import metrics
from carteira.kit.web.access import public
from carteira.kit.web.json_route import JsonRoute
from carteira.kit.web.lean_route import lean
from carteira.kit.web.problems import NotAuthenticated
from carteira.kit.web.state import StateKey

CHECK_SECONDS = 2.0
Check = Callable[[FastAPI], Awaitable[object]]
READINESS = StateKey[Mapping[str, Check]]("readiness")

log = structlog.get_logger(__name__)
router = APIRouter(route_class=JsonRoute, prefix="/health", tags=["operation"])


class NotReady(Exception):
    """A dependency is not ready; the text says why, in Portuguese, and is public."""


class Health(BaseModel):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Readiness(BaseModel):
    """The state of each dependency."""

    status: Literal["ready", "not_ready"]
    checks: Mapping[str, bool | str] = Field(
        description="Um texto diz que está pronto, mas não por completo", examples=[{"database": True, "redis": True}]
    )
    reasons: Mapping[str, str] = Field(
        default_factory=dict, description="Por que não está pronto, quando se sabe", examples=[{}]
    )


@router.get(
    "",
    summary="O processo responde",
    dependencies=[public("a load balancer asks"), lean("it depends on nothing, and is asked for without an end")],
)
async def health() -> Health:
    """Diz que o processo está vivo; não olha para mais nada."""
    return Health()


@router.get(
    "/ready",
    summary="Tudo de que precisa responde",
    dependencies=[public("a load balancer asks")],
    responses={503: {"model": Readiness, "description": "Alguma dependência está fora do ar"}},
)
async def ready(request: Request, response: Response) -> Readiness:
    """Pergunta a cada dependência; 503 enquanto alguma não responde."""
    checks = READINESS.of(request.app)
    reasons: dict[str, str] = {}
    results = await asyncio.gather(*(_well(request.app, name, check, reasons) for name, check in checks.items()))
    outcome = dict(zip(checks, results, strict=True))
    if not all(results):
        response.status_code = 503
    return Readiness(status="ready" if all(results) else "not_ready", checks=outcome, reasons=reasons)


async def _well(app: FastAPI, name: str, check: Check, reasons: dict[str, str]) -> bool | str:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            result = await check(app)
            return result if isinstance(result, str) else result is not False
    except NotReady as error:
        reasons[name] = str(error)
        log.warning("not ready", dependency=name, reason=reasons[name])
        return False
    except Exception as error:  # noqa: BLE001 - whatever it is, the dependency is not well
        log.warning("not ready", dependency=name, error=type(error).__name__)
        return False


def metrics_router(token: str | None) -> APIRouter:
    """Return the route of Prometheus' metrics, which needs the token, if there is one."""
    scraped = APIRouter(route_class=JsonRoute, include_in_schema=False)

    @scraped.get("/metrics", dependencies=[public("Prometheus; METRICS_TOKEN closes it")])
    def get_metrics(request: Request) -> Response:
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if token is not None and not hmac.compare_digest(given.encode(), token.encode()):
            raise NotAuthenticated
        return Response(metrics.render(), media_type=metrics.CONTENT_TYPE)

    return scraped
