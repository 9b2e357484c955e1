"""Passwords that were breached elsewhere, looked up in a file of the installation; none leaves the machine.

The file is what Have I Been Pwned's downloader writes: a line a password, its SHA-1 in hexadecimal and, behind a colon,
how often it was seen, sorted. It may have many gigabytes, and is searched by halves where it lies: some thirty reads.
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
        """Tell whether a password is in the file."""
        wanted = hashlib.sha1(str(password).encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest().upper()
        low, high = 0, len(self._lines)
        while low < high:
            middle = (low + high) // 2
            start = self._lines.rfind(b"\n", low, middle) + 1 or low
            found = self._lines[start : start + _DIGITS].decode("ascii", "replace").upper()
            if found == wanted:
                return True
            if found < wanted:
                end = self._lines.find(b"\n", middle, high)
                low = high if end < 0 else end + 1
            else:
                high = start
        return False
