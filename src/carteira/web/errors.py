"""Problems as pages, for people's browsers; clients of the API get `application/problem+json`."""

from collections.abc import Callable
from urllib.parse import quote

from fastapi import Request, Response

from carteira.kit.web.access import EVERY_CLAIM, Principal, RecentSignInRequired, SecondFactorRequired
from carteira.kit.web.problems import InvalidInput, NotAuthenticated, NotFound, Problem, as_json, name_in_log
from carteira.kit.web.public_address import route_path
from carteira.web.browser import browser_of
from carteira.web.console.screens import opens_console
from carteira.web.csrf import FormNotOurs
from carteira.web.page import page_before, sent_on, sign_in_address, this_page
from carteira.web.rendering import Renderer

CONSOLE = "/console"
PAGES = ("/app", CONSOLE)
_SERVER_ERROR = 500


def wants_page(request: Request) -> bool:
    """Return whether a person's browser asks: it accepts HTML, or asks for a page without accepting JSON."""
    accept = request.headers.get("accept", "")
    if "text/html" in accept:
        return True
    path = route_path(request)
    under = path == "/" or any(path == page or path.startswith(f"{page}/") for page in PAGES)
    return under and "application/json" not in accept


def answer_with(renderer: Renderer) -> Callable[[Request, Problem], Response]:
    """Return the function that answers problems: as pages to people, as JSON to clients."""

    def answer(request: Request, problem: Problem) -> Response:
        if not wants_page(request):
            return as_json(request, problem)
        name_in_log(problem)
        return _page(renderer, request, problem)

    return answer


def _page(renderer: Renderer, request: Request, problem: Problem) -> Response:
    path = route_path(request)
    own = any(path == page or path.startswith(f"{page}/") for page in PAGES)
    desk = path == CONSOLE or path.startswith(f"{CONSOLE}/")
    who: Principal | None = getattr(request.state, "principal", None)
    root = renderer.config.root_path
    browser = browser_of(request, https=renderer.config.https)
    if own and isinstance(problem, NotAuthenticated):
        return sent_on(request, sign_in_address(request, root, was_signed_in=browser.was_signed_in))
    if own and problem.code == "password_change_required":
        return sent_on(request, f"{root}/app/nova-senha")
    if own and isinstance(problem, RecentSignInRequired | SecondFactorRequired):
        return sent_on(request, _confirmation(request, root, enrols="enrol_at" in problem.extra))
    if own and request.method == "GET" and isinstance(problem, InvalidInput):
        problem = NotFound()  # an unknown address
    if desk and not opens_console(who) and not isinstance(problem, FormNotOurs):
        problem, desk = NotFound(), False  # others do not learn that it exists
    body = problem.body()
    status: int = body["status"]
    response = renderer.answer(
        browser,
        "console/error.html" if desk and opens_console(who) else "error.html",
        {
            "status": status,
            "code": problem.code,
            "detail": problem.detail,
            "support": body["request_id"][-8:],
            "safe": request.method == "GET",
            "own": own,
            "again": request.url.path if request.method == "GET" and (own or path == "/") else "",
            "path": path,
            "who": who,
            "claim": problem.extra.get("claim", ""),
            "holds": lambda claim: who is not None and bool({claim, EVERY_CLAIM} & who.claims),
        },
        status=status,
    )
    for name, value in problem.headers.items():
        if name.lower() != "www-authenticate":
            response.headers[name] = value
    return response


def _confirmation(request: Request, root_path: str, *, enrols: bool) -> str:
    """Return the page where a person verifies themselves, or first adds a second factor, and returns from.

    After a form it returns to the form's page, which asks to send it again.
    """
    by_form = request.method != "GET"
    back = quote(page_before(request, root_path) if by_form else this_page(request), safe="/")
    if enrols:
        return f"{root_path}/app/acesso?falta=segundo-fator"
    return f"{root_path}/app/confirmar?para={back}" + ("&repetir=sim" if by_form else "")
