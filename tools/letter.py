"""`make letter TO=maria@exemplo.com.br`: the next letter of the running `make run` to an address, which is read then.

A letter that is on its way is waited for. Where `--with` is given, letters without it are left for later.
"""

import argparse
import mailbox
import re
import sys
import time
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

from carteira.cli import launcher

WAIT_SECONDS = 20.0


def main() -> None:
    """Print the text of the letter, or the part of it that is asked for."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("address")
    asked.add_argument("--with", dest="pattern", default="", help="print only what matches this regular expression")
    arguments = asked.parse_args()
    maildir = launcher.settings_of_running_server().carteira_home / "mail" / "Maildir"
    deadline = time.monotonic() + WAIT_SECONDS
    while (found := read_letter(maildir, arguments.address, arguments.pattern)) is None:
        if time.monotonic() > deadline:
            sys.exit(f"No letter to {arguments.address} within {WAIT_SECONDS:.0f} s in {maildir}")
        time.sleep(0.1)
    print(found)  # noqa: T201 - the command's output


def read_letter(maildir: Path, address: str, pattern: str = "") -> str | None:
    """Return the oldest unread letter to an address, or what in it matches a pattern, and mark it as read."""
    box = mailbox.Maildir(maildir, factory=None)
    letters = [(message.get_date(), key, message) for key, message in box.items() if message.get_subdir() == "new"]
    for _, key, message in sorted(letters, key=lambda letter: letter[:2]):
        found = re.search(pattern, text_of(bytes(message))) if message["To"] == address else None
        if found:
            message.set_subdir("cur")
            message.add_flag("S")
            box[key] = message
            return found[0] if pattern else found.string
    return None


def text_of(letter: bytes) -> str:
    """Return the plain text of a letter."""
    message = message_from_bytes(letter, policy=policy.default)
    assert isinstance(message, EmailMessage), "the default policy's"
    body = message.get_body(("plain",))
    return "" if body is None else body.get_content()


if __name__ == "__main__":
    main()
