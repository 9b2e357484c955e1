"""The inbox: everything that the product tells a person, in one list, with what they have not read yet.

It owns one thing: up to where each person has read. What is told is read where it is kept: the events of the outbox
that name the person, what the audit says of their account and of who looked at their data, purchases that did not pass,
and credits. So nothing is stored twice, and what a module erases is gone here too. Invariants:

- a person reads their own list only, without a claim;
- the list is in the order of ids, which are made in the order of time, so that one cursor goes through all sources;
- what is older than `UNREAD_DAYS` counts as read.

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
