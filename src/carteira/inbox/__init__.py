"""The inbox: all of the product's notices to a person in one list, with the unread ones marked.

It owns only each person's last read notice. Notices are read from their sources: the outbox's events of the person, the
audit of their account and of looks at their data, declined purchases, and credits. So nothing is stored twice, and what
a module erases disappears here too. Invariants:

- a person reads their own list only, without a claim;
- the list is sorted by ids, which are time-ordered, so that one cursor goes through all sources;
- notices that are older than `UNREAD_DAYS` count as read.

Sources: rules.md, inbox; `docs/reference/inbox.md`.
"""

from carteira.inbox.service import Inbox, Notice
from carteira.kit.module import Module

__all__ = ["Inbox", "Notice", "module"]


def module() -> Module:
    """Hand the inbox to the composition root."""
    from carteira.inbox.people import erase_person, export_person
    from carteira.inbox.routes import router

    return Module(name="inbox", routers=(router,), export_person=export_person, erase_person=erase_person)
