"""Removes the position from a picture's metadata; its pixels and orientation stay.

Exif (CIPA DC-008) is changed in place, so that nothing else in it moves: entries that lead to positions are removed,
and their data overwritten. Unreadable Exif is dropped, except for the orientation. XMP (ISO 16684) with a position is
dropped whole: it copies Exif, and no viewer needs it to show the picture.
"""

import re
import struct
from dataclasses import dataclass

_GPS, _ORIENTATION, _XMP = 0x8825, 0x0112, 0x02BC
_POINTERS = frozenset({0x014A, 0x8769, 0xA005})
"""Entries that lead to further directories: SubIFDs, Exif, interoperability."""
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_MAX_ORIENTATION = 8
_LONG = 4
"""Bytes of an offset, and of a value within an entry."""
_ENTRY = 12
_MAX_DIRECTORIES, _MAX_ENTRIES = 32, 1000
_MENTION = re.compile(rb"gps|latitude|longitude", re.IGNORECASE)


def mentions_position(text: bytes) -> bool:
    """Return whether XMP, or other text beside a picture, mentions a position, or might because it is not UTF-8."""
    try:
        text.decode()
    except UnicodeDecodeError:
        return True
    return b"\0" in text or _MENTION.search(text) is not None


class _Unreadable(Exception):
    """The directories are inconsistent."""


@dataclass
class _Entry:
    place: int
    tag: int
    kind: int
    count: int


class _Tiff:
    """A TIFF structure (TIFF 6.0) of Exif, walked and changed in place."""

    def __init__(self, data: bytes) -> None:
        self.data = bytearray(data)
        order = {b"II*\0": "<", b"MM\0*": ">"}.get(data[:4])
        if order is None:
            raise _Unreadable
        self.order = order
        self._waiting = [self.long(4)]
        self._seen: set[int] = set()
        self._entries_left = _MAX_ENTRIES

    def _number(self, form: str, place: int) -> int:
        try:
            (found,) = struct.unpack_from(self.order + form, self.data, place)
        except struct.error as error:
            raise _Unreadable from error
        return int(found)

    def short(self, place: int) -> int:
        return self._number("H", place)

    def long(self, place: int) -> int:
        return self._number("I", place)

    def remove_positions(self) -> None:
        """Walk every directory once; `self.data` changes only where one mentions a position."""
        while self._waiting:
            place = self._waiting.pop()
            if place and place not in self._seen:
                self._seen.add(place)
                if len(self._seen) > _MAX_DIRECTORIES:
                    raise _Unreadable
                self._clean(place)

    def _entries(self, directory: int) -> list[_Entry]:
        count = self.short(directory)
        self._entries_left -= count
        if self._entries_left < 0:
            raise _Unreadable
        places = range(directory + 2, directory + 2 + count * _ENTRY, _ENTRY)
        return [_Entry(at, self.short(at), self.short(at + 2), self.long(at + 4)) for at in places]

    def _clean(self, directory: int) -> None:
        entries = self._entries(directory)
        self._waiting.append(self.long(directory + 2 + len(entries) * _ENTRY))
        for index in reversed(range(len(entries))):
            entry = entries[index]
            start, length = self._value(entry)
            if entry.tag in _POINTERS:
                self._waiting += [self.long(at) for at in range(start, start + length - length % _LONG, _LONG)]
            elif entry.tag == _GPS:
                self._erase_directory(self.long(start))
                self._remove(directory, len(entries), index)
                del entries[index]
            elif entry.tag == _XMP and mentions_position(bytes(self.data[start : start + length])):
                self.data[start : start + length] = bytes(length)
                self._remove(directory, len(entries), index)
                del entries[index]

    def _value(self, entry: _Entry) -> tuple[int, int]:
        """Return where an entry's value lies, and how long it is."""
        length = _SIZES.get(entry.kind, 1) * entry.count
        start = entry.place + 8 if length <= _LONG else self.long(entry.place + 8)
        if start + length > len(self.data):
            raise _Unreadable
        return start, length

    def _erase_directory(self, directory: int) -> None:
        if directory in self._seen:
            raise _Unreadable
        entries = self._entries(directory)
        for entry in entries:
            start, length = self._value(entry)
            self.data[start : start + length] = bytes(length)
        whole = 2 + len(entries) * _ENTRY + _LONG
        self.data[directory : directory + whole] = bytes(min(whole, len(self.data) - directory))

    def _remove(self, directory: int, count: int, index: int) -> None:
        """Remove an entry: later ones, and the offset of the next directory, move up."""
        end = directory + 2 + count * _ENTRY + _LONG
        place = directory + 2 + index * _ENTRY
        self.data[place:end] = self.data[place + _ENTRY : end] + bytes(_ENTRY)
        struct.pack_into(self.order + "H", self.data, directory, count - 1)

    def orientation(self) -> int:
        """Return the picture's orientation, 1 to 8, from the first directory; 0: it has none."""
        for entry in self._entries(self.long(4)):
            if (entry.tag, entry.kind, entry.count) == (_ORIENTATION, 3, 1):
                found = self.short(entry.place + 8)
                return found if found <= _MAX_ORIENTATION else 0
        return 0


def without_position(exif: bytes) -> bytes:
    """Return Exif's TIFF structure without positions, of the same length; empty, if it cannot be walked.

    If it cannot be walked, only a readable orientation is kept.
    """
    try:
        tiff = _Tiff(exif)
        before = bytes(tiff.data)
        try:
            tiff.remove_positions()
        except _Unreadable:
            return _only_orientation(_Tiff(before).orientation())
    except _Unreadable:
        return b""
    return bytes(tiff.data)


def _only_orientation(orientation: int) -> bytes:
    if not orientation:
        return b""
    return b"MM\0*" + struct.pack(">IHHHIHHI", 8, 1, _ORIENTATION, 3, 1, orientation, 0, 0)
