"""What a browser keeps while its person is at a provider."""

from carteira.identity.social.service import ATTEMPT_SECONDS
from carteira.kit.web.cookies import HostCookie

SOCIAL_COOKIE = HostCookie("carteira_social", "/", ATTEMPT_SECONDS)
PAGE_COOKIE = HostCookie("carteira_social_page", "/", ATTEMPT_SECONDS)
"""What a page gives a browser that sets out, and where it is to go on; by it the callback hands it back to the page."""
