"""Cookies that only this host sets and reads, kept from scripts and from other sites' posts.

Where people reach the server over https the name begins with `__Host-`: browsers then accept it only from this host,
over TLS and for every path, so that no other host of the same domain can set it (RFC 6265bis, section 4.1.3.2).
"""

from dataclasses import dataclass

from fastapi import Request, Response

_PREFIX = "__Host-"


@dataclass(frozen=True, slots=True)
class HostCookie:
    """A cookie, by its plain name; `path` applies without TLS only; without `seconds` it ends with the browser."""

    name: str
    path: str
    seconds: int | None

    def read(self, request: Request, *, https: bool) -> str:
        """Return what the browser sent, or nothing."""
        return request.cookies.get(self._name(https=https), "")

    def set(self, response: Response, value: str, *, https: bool) -> None:
        """Set the cookie in the browser."""
        response.set_cookie(
            self._name(https=https),
            value,
            max_age=self.seconds,
            path=self._path(https=https),
            secure=https,
            httponly=True,
            samesite="lax",
        )

    def delete(self, response: Response, *, https: bool) -> None:
        """Delete the cookie in the browser."""
        response.delete_cookie(
            self._name(https=https), path=self._path(https=https), secure=https, httponly=True, samesite="lax"
        )

    def _name(self, *, https: bool) -> str:
        return _PREFIX + self.name if https else self.name

    def _path(self, *, https: bool) -> str:
        return "/" if https else self.path
