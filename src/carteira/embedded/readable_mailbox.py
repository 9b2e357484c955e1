"""aiosmtpd's mailbox, which keeps what people read as they read it: no quoted-printable in the way of a link's copy."""

from email.message import Message

from aiosmtpd.handlers import Mailbox
from aiosmtpd.smtp import Envelope, Session


class ReadableMailbox(Mailbox):
    """A Maildir whose messages hold their texts as 8-bit lines."""

    def prepare_message(self, session: Session, envelope: Envelope) -> Message:
        """Decode each text of a message."""
        message = super().prepare_message(session, envelope)
        for part in message.walk():
            if part.get_content_maintype() == "text" and "content-transfer-encoding" in part:
                content = part.get_payload(decode=True)
                assert isinstance(content, bytes), "a text has no parts"
                part.set_payload(content.decode("ascii", "surrogateescape"))
                part.replace_header("Content-Transfer-Encoding", "8bit")
        return message
