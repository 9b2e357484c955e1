"""aiosmtpd's mailbox with texts stored as people read them: quoted-printable would break copied links."""

from email.message import Message

from aiosmtpd.handlers import Mailbox
from aiosmtpd.smtp import Envelope, Session


class ReadableMailbox(Mailbox):
    """A Maildir whose e-mails store their texts as 8-bit lines."""

    def prepare_message(self, session: Session, envelope: Envelope) -> Message:
        """Decode each text of an e-mail."""
        message = super().prepare_message(session, envelope)
        for part in message.walk():
            if part.get_content_maintype() == "text" and "content-transfer-encoding" in part:
                content = part.get_payload(decode=True)
                assert isinstance(content, bytes), "a text has no parts"
                part.set_payload(content.decode("ascii", "surrogateescape"))
                part.replace_header("Content-Transfer-Encoding", "8bit")
        return message
