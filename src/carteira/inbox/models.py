"""The inbox's table."""

from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Mapped, mapped_column

from carteira.kit.db.base import INSTANT, Base


class InboxMark(Base):
    """The newest notice that a person has read."""

    __tablename__ = "inbox_marks"

    user_id: Mapped[UUID] = mapped_column(primary_key=True)
    read_until: Mapped[UUID]
    marked_at: Mapped[datetime] = mapped_column(INSTANT)
