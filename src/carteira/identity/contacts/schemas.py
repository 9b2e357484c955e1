"""Wire shapes of contact points."""

from pydantic import BaseModel


class ContactActOut(BaseModel):
    """The outcome of a link."""

    detail: str
