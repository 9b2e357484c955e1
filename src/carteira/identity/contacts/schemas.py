"""Wire shapes of contact points."""

from pydantic import BaseModel


class ContactActOut(BaseModel):
    """What a link did."""

    detail: str
