"""The page of a route: the person, the form, and the ways to answer.

A route takes `OpenPage` (anyone; it also names `public("why")`) or `SignedPage` (signed-in people; others are led to
sign in and back). Verbs run in `page.database.transaction()`, not in a request's own transaction: a refusal is caught
outside of it and drawn into the form.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any, TypeVar
from urllib.parse import quote, urlsplit
from uuid import UUID

import orjson
from fastapi import Depends, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse

from carteira import identity
from carteira.kit.db.engine import Database
from carteira.kit.db.errors import DatabaseDown
from carteira.kit.db.session import Tx
from carteira.kit.security import audit
from carteira.kit.security.rate_limits import LimitReached
from carteira.kit.values.ids import uuid7
from carteira.kit.web import idempotency
from carteira.kit.web.access import EVERY_CLAIM, Principal, RecentSignInRequired, SecondFactorRequired, Visitor, Who
from carteira.kit.web.problems import NotAuthenticated, Problem, problem_of
from carteira.kit.web.public_address import route_path
from carteira.kit.web.state import DATABASE
from carteira.web import forms
from carteira.web.browser import Browser
from carteira.web.formats import hour
from carteira.web.forms import FormBody, Reading
from carteira.web.rendering import Renderer, browser_at, is_local, renderer_of

M = TypeVar("M", bound=FormBody)
R = TypeVar("R")
REFUSALS = (Problem, LimitReached)
"""A verb's errors that a route catches to draw its form again; others become error pages."""
ONCE = "pedido"
"""The hidden field with a form's idempotency key."""
_KEY_LENGTH = 64


@dataclass(frozen=True)
class WebPage:
    """A request for a page."""

    request: Request
    browser: Browser
    renderer: Renderer
    visitor: Principal | None
    client: identity.Client

    @property
    def who(self) -> Principal:
        """The signed-in person.

        Raises:
            NotAuthenticated: nobody is signed in.
        """
        if self.visitor is None:
            raise NotAuthenticated
        return self.visitor

    @property
    def user_id(self) -> UUID:
        """The signed-in person's id."""
        return self.who.user_id

    @property
    def database(self) -> Database:
        """The process's database."""
        return DATABASE.of(self.request.app)

    @property
    def identity(self) -> identity.Runtime:
        """Identity's runtime."""
        return identity.RUNTIME.of(self.request.app)

    def has(self, module: str) -> bool:
        """Return whether an optional module is on."""
        return module in self.renderer.config.modules

    def holds(self, claim: str) -> bool:
        """Return whether the signed-in person holds a claim, to draw links; the pages behind them check it too."""
        return self.visitor is not None and bool({claim, EVERY_CLAIM} & self.visitor.claims)

    async def read(self, work: Callable[[Tx], Awaitable[R]]) -> R:
        """Read for a page, each statement in one trip; retry once if a connection was dead.

        Raises:
            DatabaseDown: PostgreSQL is unreachable.
        """
        try:
            async with self.database.reading() as tx:
                return await work(tx)
        except DatabaseDown:
            async with self.database.reading() as tx:
                return await work(tx)

    async def form(self, kind: type[M]) -> Reading[M]:
        """Parse the form into a model or its errors."""
        return forms.read(kind, await self.request.form())

    async def typed(self) -> dict[str, str]:
        """Return the form's typed texts, for a page that reads some of them before its model."""
        return {name: text for name, text in (await self.request.form()).items() if isinstance(text, str)}

    def show(
        self,
        template: str,
        *,
        block: str | None = None,
        status: int = 200,
        images: str = "",
        frames: bool = False,
        **values: Any,  # noqa: ANN401 - a template's values have any type
    ) -> HTMLResponse:
        """Return a page; only its `block`, if htmx asks for that part.

        `images` and `frames` are what it may show beside its own, as for `Renderer.answer`. A form that is shown again
        with errors has done nothing.
        """
        if status >= HTTPStatus.BAD_REQUEST:
            audit.nothing_done()
        part = block if self.request.headers.get("hx-request") == "true" else None
        values = self._shared() | values
        return self.renderer.answer(
            self.browser, template, values, block=part, status=status, images=images, frames=frames
        )

    def _shared(self) -> dict[str, Any]:
        return {
            "path": route_path(self.request),
            "once": str(uuid7()),
            "who": self.visitor,
            "form": forms.EMPTY,
            "reseller": self.visitor is not None and "reseller" in self.visitor.claims,
            "holds": self.holds,
        }

    def go(self, path: str, message: str = "") -> Response:
        """Redirect the browser to a page of ours with a message, as the answer to a form."""
        response = self.redirect(self.renderer.config.root_path + path)
        if message:
            self.browser.leave_message(response, message)
        return response

    def script_goes(self, path: str, message: str = "") -> Response:
        """Return the address of the next page for a script of ours, with a message there."""
        response = JSONResponse({"go": self.renderer.config.root_path + path}, headers={"Cache-Control": "no-store"})
        if message:
            self.browser.leave_message(response, message)
        return response

    def again(self, template: str, form: Reading[M], error: Exception, **values: Any) -> HTMLResponse:  # noqa: ANN401 - a template's values have any type
        """Draw a form again with a verb's refusal (one of `REFUSALS`); redirect if another page is needed first.

        Raises:
            Problem: a recent sign-in, a second factor or a new password is needed first, or the session has ended.
        """
        problem = problem_of(error)
        if isinstance(problem, RecentSignInRequired | SecondFactorRequired | identity.SessionOver):
            raise problem
        status = 422 if problem.status == 401 else problem.status  # noqa: PLR2004 - 401 would ask for a bearer token
        return self.show(template, status=status, form=form.failed(problem), **values)

    def redirect(self, address: str) -> Response:
        """Redirect the browser."""
        return sent_on(self.request, address)

    def next_page(self, wanted: str, otherwise: str = "/app") -> str:
        """Return the next page: the requested one, if it is one of ours."""
        return wanted if is_local(wanted) else otherwise

    async def call(self) -> idempotency.Call:
        """Return a form's idempotency key as a `Call`, for work that opens transactions of its own."""
        sent = (await self.request.form()).get(ONCE)
        key = sent[:_KEY_LENGTH] if isinstance(sent, str) and sent else str(uuid7())
        return idempotency.Call(str(self.user_id), f"page:{key}", f"{self.request.method} {route_path(self.request)}")

    async def once(
        self, work: Callable[[Tx], Awaitable[object]], *, payload: object, money: bool = True, key: str | None = None
    ) -> "Outcome":
        """Do a form's work once, however often it is sent, in a transaction of its own.

        The key is the form's hidden field, made when it was drawn; a form with a file passes it. A `Refusal` is
        recorded too.

        Raises:
            Problem: the work failed otherwise; nothing is done, and the form may be sent again.
        """
        sent = (await self.request.form()).get(ONCE) if key is None else key
        key = sent[:_KEY_LENGTH] if isinstance(sent, str) and sent else str(uuid7())
        async with self.database.transaction() as tx:
            done = await idempotency.once(
                tx,
                self.user_id,
                f"page:{key}",
                operation=f"{self.request.method} {route_path(self.request)}",
                payload=payload,
                work=lambda: work(tx),
                money=money,
            )
        return _outcome(done)

    async def outcome_of(self, call: idempotency.Call, response: Response) -> "Outcome":
        """Return the outcome of work that was done under a form's key (`call`) elsewhere."""
        is_repeated = idempotency.REPLAYED in response.headers
        return _outcome(idempotency.Once(response, await self.read(call.first_at) if is_repeated else None))


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a form's work."""

    body: Any
    refused: str
    """The reason of a refusal; empty: it was done."""
    again: str
    """The message that it was done before, and when; empty: this is the first time."""

    def said(self, done: str) -> str:
        """Return the message: what was done now, or that it was done before."""
        return self.again or done


def _outcome(done: idempotency.Once) -> Outcome:
    body: Any = orjson.loads(done.response.body) if done.response.body else {}
    refused = body["detail"] if done.response.status_code >= 400 else ""  # noqa: PLR2004 - HTTP's own bound
    again = f"Já recebemos este pedido às {hour(done.first_at)}." if done.first_at else ""
    return Outcome(body, refused, again)


async def _open(request: Request, visitor: Visitor, client: identity.ClientDep) -> WebPage:
    return WebPage(request, browser_at(request), renderer_of(request), visitor, client)


async def _signed(request: Request, who: Who, client: identity.ClientDep) -> WebPage:
    return WebPage(request, browser_at(request), renderer_of(request), who, client)


OpenPage = Annotated[WebPage, Depends(_open)]
"""A parameter of a public route: its page, with the signed-in person if there is one."""
SignedPage = Annotated[WebPage, Depends(_signed)]
"""A parameter of a route for signed-in people: its page."""


def sent_on(request: Request, address: str) -> Response:
    """Redirect a browser; htmx gets a header, since it would follow a redirect itself."""
    response = RedirectResponse(address, 303, {"Cache-Control": "no-store", "Referrer-Policy": "same-origin"})
    if request.headers.get("hx-request") == "true":
        return Response(headers={"HX-Redirect": response.headers["location"], "Cache-Control": "no-store"})
    return response


def sign_in_address(request: Request, root_path: str, *, was_signed_in: bool) -> str:
    """Return the sign-in page, which returns to the requested page."""
    wanted = this_page(request) if request.method == "GET" else page_before(request, root_path)
    address = f"{root_path}/app/entrar"
    asked = [f"para={quote(wanted, safe='/')}"] if is_local(wanted) and wanted != "/app" else []
    asked += ["saiu=tempo"] if was_signed_in else []
    return address + ("?" + "&".join(asked) if asked else "")


def this_page(request: Request) -> str:
    """Return the requested page's address with its query."""
    query = request.url.query
    return route_path(request) + (f"?{query}" if query else "")


def page_before(request: Request, root_path: str) -> str:
    """Return the page that a form was sent from, by the browser's Referer; `/app` if that is missing or foreign."""
    try:
        parts = urlsplit(request.headers.get("referer", ""))
    except ValueError:  # a bracket without its other
        return "/app"
    path = parts.path.removeprefix(root_path) + (f"?{parts.query}" if parts.query else "")
    return path if parts.netloc == request.headers.get("host") and is_local(path) else "/app"
