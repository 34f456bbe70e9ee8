"""The parser child, ``python -m daemon.sources.child PARENT``: reads the YAML that the daemon must not.

A frame is four bytes of length, big endian, and that many bytes. In: the bytes of a file. Out: JSON with its
documents and faults. It ends with its parent, with its input, or at one of its limits. No I/O but its pipes.
"""

import ctypes
import json
import os
import resource
import signal
import struct
import sys
from typing import BinaryIO, Final

from daemon.sources.nodes import LARGEST_FILE, read_documents

LENGTH: Final = struct.Struct(">I")
_MEMORY: Final = 256 * 1024 * 1024
_CPU_S: Final = 2
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_NO_NEW_PRIVS: Final = 38


def answer(data: bytes) -> bytes:
    """Return the answer to one frame."""
    documents, faults = read_documents(data)
    found = [[fault.line, fault.column, fault.width, fault.message, list(fault.notes)] for fault in faults]
    return json.dumps([documents, found], separators=(",", ":"), ensure_ascii=False).encode()


def _limit(parent: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the daemon's to handle
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit("the daemon has ended")
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _allow_cpu() -> None:
    """Allow this much processor time from now on, in case the parent cannot end us in time."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = int(used.ru_utime + used.ru_stime) + 1 + _CPU_S
    resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def _serve(requests: BinaryIO, answers: BinaryIO) -> None:
    while len(head := requests.read(LENGTH.size)) == LENGTH.size:
        (length,) = LENGTH.unpack(head)
        if length > LARGEST_FILE:
            sys.exit(f"a frame of {length} bytes")
        data = requests.read(length)
        _allow_cpu()
        reply = answer(data)
        answers.write(LENGTH.pack(len(reply)) + reply)
        answers.flush()


def main() -> None:
    """Serve until the input ends."""
    _limit(int(sys.argv[1]))
    _serve(sys.stdin.buffer, sys.stdout.buffer)


if __name__ == "__main__":
    main()
