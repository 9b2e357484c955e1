"""What every JSON body has in common."""

from pydantic import BaseModel, ConfigDict


class Body(BaseModel):
    """A request's JSON object; a field that it does not name is an error (422)."""

    model_config = ConfigDict(extra="forbid")
