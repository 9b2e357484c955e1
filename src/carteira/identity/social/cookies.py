"""The cookies of a browser whose person is at a provider."""

from carteira.identity.social.service import ATTEMPT_SECONDS
from carteira.kit.web.cookies import HostCookie

SOCIAL_COOKIE = HostCookie("carteira_social", "/", ATTEMPT_SECONDS)
PAGE_COOKIE = HostCookie("carteira_social_page", "/", ATTEMPT_SECONDS)
"""The cookie of a browser that left from a page, with the page to return to."""
