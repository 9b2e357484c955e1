"""Wire shapes of contact points."""

from pydantic import BaseModel


class ContactActOut(BaseModel):
    """What was done by a link."""

    detail: str
