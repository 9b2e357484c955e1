"""Every router of pages: a new area is added here, and its entry in `wallet/navigation.py` or `console/screens.py`."""

from fastapi import APIRouter
from fastapi.routing import APIRoute

from carteira.web import assets
from carteira.web.console import (
    accounts,
    audit,
    authorizations,
    credit,
    house,
    live,
    months,
    overview,
    pendings,
    people,
    purchases,
    returns,
    roles,
    rules,
    taps,
    tickets,
    topups,
)
from carteira.web.console import documents as document_reviews
from carteira.web.public import front, proof, texts
from carteira.web.wallet import (
    access,
    benefits,
    chat,
    confirm,
    document_files,
    documents,
    home,
    install,
    menu,
    notices,
    passkeys,
    privacy,
    profile,
    recover,
    register,
    sales,
    sign_in,
    social,
    statement,
    transport,
)

ROUTERS: tuple[APIRouter, ...] = (
    assets.router,
    front.router,
    texts.router,
    sign_in.router,
    social.router,
    register.router,
    recover.router,
    confirm.router,
    menu.router,
    home.router,
    notices.router,
    transport.router,
    benefits.router,
    sales.router,
    statement.router,
    install.router,
    privacy.router,
    profile.router,
    access.router,
    chat.router,
    chat.files,
    passkeys.router,
    document_files.router,
    documents.router,
    proof.router,
    overview.router,
    live.router,
    returns.router,
    authorizations.router,
    purchases.router,
    months.router,
    accounts.router,
    topups.router,
    rules.router,
    credit.router,
    roles.router,
    people.router,
    house.router,
    document_reviews.router,
    tickets.router,
    taps.router,
    pendings.router,
    audit.router,
)
PATHS = frozenset(route.path for router in ROUTERS for route in router.routes if isinstance(route, APIRoute))
"""The addresses that there are, for links that are drawn only where they lead somewhere."""
UPLOADS = (document_files.UPLOADS, chat.UPLOADS)
"""Under which addresses forms bring files."""
