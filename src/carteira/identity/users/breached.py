"""Looks breached passwords up in a file of the installation; no password leaves the machine.

The file is what Have I Been Pwned's downloader writes: sorted lines, each a password's SHA-1 in hexadecimal, a colon
and a count. It may have many gigabytes; a binary search in the file takes some thirty reads.
"""

import hashlib
import mmap
from pathlib import Path

_DIGITS = 40


class BreachedPasswords:
    """A sorted file of SHA-1 hashes.

    Raises:
        OSError, ValueError: the file cannot be read, or is empty.
    """

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            self._lines = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    def __contains__(self, password: object) -> bool:
        """Return whether a password is in the file."""
        digest = hashlib.sha1(str(password).encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest().upper()
        low, high = 0, len(self._lines)
        while low < high:
            middle = (low + high) // 2
            start = self._lines.rfind(b"\n", low, middle) + 1 or low
            found = self._lines[start : start + _DIGITS].decode("ascii", "replace").upper()
            if found == digest:
                return True
            if found < digest:
                end = self._lines.find(b"\n", middle, high)
                low = high if end < 0 else end + 1
            else:
                high = start
        return False
