"""A browser's cookies: of its session, or before that of a visitor; its theme; a message."""

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
"""The pages of a session that must change its generated password."""


class Browser:
    """The browser that a request comes from."""

    def __init__(self, request: Request, *, https: bool) -> None:
        self.request = request
        self.https = https
        self.session = SESSION.read(request, https=self.https)
        self.was_signed_in = False
        """Whether it has the cookie of an ended session."""
        self._new_visitor = ""

    @property
    def secret(self) -> str:
        """The secret of its forms' tokens; empty on a first visit."""
        return self.session or VISITOR.read(self.request, https=self.https)

    def own_secret(self) -> str:
        """Return the secret of its forms' tokens, made now on a first visit."""
        if not self.secret and not self._new_visitor:
            self._new_visitor = new_token()
        return self.secret or self._new_visitor

    async def principal(self, request: Request) -> Principal | None:
        """Return the signed-in person.

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
        """Return and clear the previous page's message."""
        raw = MESSAGE.read(self.request, https=self.https)
        try:
            text = json.loads(base64.urlsafe_b64decode(raw.encode("ascii", "replace"))) if raw else ""
        except (binascii.Error, ValueError):
            return ""
        return text if isinstance(text, str) else ""

    def leave_message(self, response: Response, text: str) -> None:
        """Leave a message for the next page; never one with personal data."""
        MESSAGE.set(response, base64.urlsafe_b64encode(json.dumps(text).encode()).decode(), https=self.https)

    def sign_in(self, response: Response, token: str, *, keep: bool) -> None:
        """Set the cookie of a session that has just begun, and delete the visitor's."""
        (KEPT_SESSION if keep else SESSION).set(response, token, https=self.https)
        VISITOR.delete(response, https=self.https)

    def sign_out(self, response: Response) -> None:
        """Delete the session's cookie and everything of the session in the browser."""
        SESSION.delete(response, https=self.https)
        response.headers["Clear-Site-Data"] = '"cache", "storage"'

    def finish(self, response: Response) -> None:
        """Set the cookies that this answer's forms need."""
        if self._new_visitor:
            VISITOR.set(response, self._new_visitor, https=self.https)
        if MESSAGE.read(self.request, https=self.https):
            MESSAGE.delete(response, https=self.https)


def browser_of(request: Request, *, https: bool) -> Browser:
    """Return the request's browser, made once."""
    found: Browser | None = getattr(request.state, "browser", None)
    if found is None:
        found = request.state.browser = Browser(request, https=https)
    return found
