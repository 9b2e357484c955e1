"""What a browser is known by: the cookie of its session, or before that one of a visitor; its theme; a message."""

import base64
import binascii
import json

from fastapi import Request, Response

from carteira import identity
from carteira.kit.security.opaque_tokens import new_token
from carteira.kit.web.access import Principal
from carteira.kit.web.cookies import HostCookie
from carteira.kit.web.public_address import route_path

_YEAR = 365 * 86_400
SESSION = HostCookie("carteira_session", "/", None)
KEPT_SESSION = HostCookie("carteira_session", "/", identity.KEPT_SECONDS)
VISITOR = HostCookie("carteira_visitor", "/", None)
THEME = HostCookie("carteira_theme", "/", _YEAR)
BALANCES = HostCookie("carteira_balances", "/", _YEAR)
MESSAGE = HostCookie("carteira_message", "/", 60)
BEFORE_PASSWORD_CHANGE = frozenset({"/app/nova-senha", "/app/sair"})
"""What a session that must change its generated password may ask for."""


class Browser:
    """The browser that a request comes from."""

    def __init__(self, request: Request, *, https: bool) -> None:
        self.request = request
        self.https = https
        self.session = SESSION.read(request, https=self.https)
        self.was_signed_in = False
        """Whether it has the cookie of a session that is over."""
        self._new_visitor = ""

    @property
    def secret(self) -> str:
        """What its forms' tokens are made of; none, if it has not been here."""
        return self.session or VISITOR.read(self.request, https=self.https)

    def own_secret(self) -> str:
        """Give what its forms' tokens are made of, made now for one that has not been here."""
        if not self.secret and not self._new_visitor:
            self._new_visitor = new_token()
        return self.secret or self._new_visitor

    async def principal(self, request: Request) -> Principal | None:
        """Give who is signed in.

        Raises:
            PasswordChangeRequired: they must change their password first.
        """
        if not self.session:
            return None
        cookies = identity.RUNTIME.of(request.app).cookies
        try:
            return await cookies.principal(
                self.session, only_to_change_password=route_path(request) in BEFORE_PASSWORD_CHANGE
            )
        except identity.SessionOver:
            self.was_signed_in = True
            return None

    @property
    def theme(self) -> str:
        """The theme that the person chose; empty: as their device has it."""
        chosen = THEME.read(self.request, https=self.https)
        return chosen if chosen in {"light", "dark"} else ""

    @property
    def hides_balances(self) -> bool:
        """Whether figures are to be hidden."""
        return BALANCES.read(self.request, https=self.https) == "hidden"

    def take_message(self) -> str:
        """Give what the page before left to be said."""
        raw = MESSAGE.read(self.request, https=self.https)
        try:
            text = json.loads(base64.urlsafe_b64decode(raw.encode("ascii", "replace"))) if raw else ""
        except (binascii.Error, ValueError):
            return ""
        return text if isinstance(text, str) else ""

    def leave_message(self, response: Response, text: str) -> None:
        """Leave a sentence for the next page; never one with a person's data."""
        MESSAGE.set(response, base64.urlsafe_b64encode(json.dumps(text).encode()).decode(), https=self.https)

    def sign_in(self, response: Response, token: str, *, keep: bool) -> None:
        """Give it the cookie of a session that has just begun, and take the visitor's."""
        (KEPT_SESSION if keep else SESSION).set(response, token, https=self.https)
        VISITOR.delete(response, https=self.https)

    def sign_out(self, response: Response) -> None:
        """Take the session's cookie, and leave nothing of the session in the browser."""
        SESSION.delete(response, https=self.https)
        response.headers["Clear-Site-Data"] = '"cache", "storage"'

    def finish(self, response: Response) -> None:
        """Give it what this answer's forms need."""
        if self._new_visitor:
            VISITOR.set(response, self._new_visitor, https=self.https)
        if MESSAGE.read(self.request, https=self.https):
            MESSAGE.delete(response, https=self.https)


def browser_of(request: Request, *, https: bool) -> Browser:
    """Give the request's browser, made once."""
    found: Browser | None = getattr(request.state, "browser", None)
    if found is None:
        found = request.state.browser = Browser(request, https=https)
    return found
