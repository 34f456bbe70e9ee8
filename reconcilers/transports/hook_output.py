"""What a hook writes: all of it counted, its beginning and its end kept, shown as harmless text."""

import re
import threading
from typing import Final

HALF: Final = 32 * 1024
"""Bytes that are kept of the beginning, and of the end."""
TAIL: Final = 4096
"""Bytes of the end that go into a result."""

#: Sequences that move a terminal's cursor, colour it, or set its title.
_ESCAPES: Final = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[ -/]*[0-~]"
)
_LINE_ENDS: Final = re.compile("\r\n?|[\u2028\u2029\x85]")
#: Other control characters, and those that are invisible or turn the direction of writing.
_UNSEEN: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
_CONTINUES: Final = range(0x80, 0xC0)
_LONGEST_CHARACTER: Final = 4


class Output:
    """Bytes of one run, added by one thread and read by another."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._head = bytearray()
        self._end = bytearray()
        self.total = 0
        """How many bytes came in all."""

    def add(self, data: bytes) -> None:
        """Take what was read."""
        with self._lock:
            self.total += len(data)
            room = HALF - len(self._head)
            self._head += data[:room]
            self._end += data[room:]
            del self._end[:-HALF]

    @property
    def is_cut(self) -> bool:
        """Whether the tail is not all."""
        return self.total > TAIL

    def tail(self) -> str:
        """Return the last 4 KiB."""
        with self._lock:
            kept = (self._head[-TAIL:] + self._end)[-TAIL:]
        return readable(bytes(kept), is_cut=self.is_cut)

    def kept(self) -> str:
        """Return the beginning and the end, and between them how much is left out."""
        with self._lock:
            head, end = bytes(self._head), bytes(self._end)
            missing = self.total - len(head) - len(end)
        if not missing:
            return readable(head + end)
        return f"{readable(head)}\n[… {missing} bytes are left out …]\n{readable(end, is_cut=True)}"


def readable(data: bytes, *, is_cut: bool = False) -> str:
    """Return *data* as text that no terminal, log or page can be harmed by; *is_cut* at its beginning."""
    if is_cut:
        begin = next((at for at, byte in enumerate(data[:_LONGEST_CHARACTER]) if byte not in _CONTINUES), 0)
        data = data[begin:]
    text = data.decode("utf-8", "replace")
    return _UNSEEN.sub("", _LINE_ENDS.sub("\n", _ESCAPES.sub("", text)))
