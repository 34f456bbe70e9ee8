"""A scan's files → what they declare. Only files whose content changed are parsed."""

import hashlib
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Final

import structlog

from daemon.sources.assembly import assemble, refused_content
from daemon.sources.directory import FoundFile, Scan
from daemon.sources.listing import RefusedFile
from daemon.sources.objects import FileContent, read_objects
from daemon.sources.parser import Parser
from daemon.sources.snapshot import Snapshot
from daemon.sources.tree import Parsed

log: Final[structlog.stdlib.BoundLogger] = structlog.get_logger("psa.source")
#: What a value of a shape that nobody thought of ends in. One file must not take the others with it.
_BUGS: Final = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
#: So often a file is parsed that the parser does not get to the end of: the machine may have been busy.
_TRIES: Final = 3


class Reading:
    """What the files said when they were last read."""

    def __init__(
        self,
        parser: Parser,
        systems: Mapping[str, str] | None = None,
        understand: Callable[[str, bytes, Parsed], FileContent] = read_objects,
        hide: Callable[[str], str] = str,
    ) -> None:
        """Take what reads a file; *hide* takes secrets out of what is said of one."""
        self._parser = parser
        self._systems = systems
        self._understand = understand
        self._hide = hide
        self._contents: dict[str, tuple[str, FileContent]] = {}
        self._cut: dict[str, int] = {}
        """How often the parser did not get to the end of a file."""

    def known(self) -> Mapping[str, str]:
        """Return the digest of each file that need not be read again while it stays the same."""
        return {path: digest for path, (digest, _) in self._contents.items() if not self._is_tried(path)}

    def _is_tried(self, path: str) -> bool:
        """Whether the file is to be parsed once more although it is the same."""
        return 0 < self._cut.get(path, 0) < _TRIES

    async def read(self, scan: Scan) -> Snapshot:
        """Return what the files of *scan* say together."""
        contents: dict[str, tuple[str, FileContent]] = {}
        for found in scan.files:
            contents[found.path] = await self._read(found)
        self._contents = contents
        self._cut = {path: times for path, times in self._cut.items() if path in contents}
        refused = [refused_content(file) for file in scan.refused]
        together = [*(content for _, content in contents.values()), *refused]
        by_name = sorted(together, key=lambda content: content.file)
        return assemble(by_name, digest_of(scan, self._cut), self._systems)

    async def _read(self, found: FoundFile) -> tuple[str, FileContent]:
        digest, content = self._contents.get(found.path, ("", None))
        is_same = content is not None and (found.data is None or digest == found.digest)
        if content is not None and is_same and not self._is_tried(found.path):
            return digest, content
        data = found.data or b""
        parsed = await self._parser.parse(data)
        times = self._cut.pop(found.path, 0) if is_same else 0
        if parsed.is_cut:
            self._cut[found.path] = times + 1
        else:
            self._cut.pop(found.path, None)
        return found.digest, self._content(found.path, data, parsed)

    def _content(self, path: str, data: bytes, parsed: Parsed) -> FileContent:
        try:
            return self._without_secrets(self._understand(path, data, parsed))
        except _BUGS as exc:
            text = "".join(traceback.format_exception_only(exc)).strip()
            log.exception("file.panicked", file=path, error=text)
            message = f"a bug of psa-reconciler keeps it from being read: {text}"
            return refused_content(RefusedFile(path, message, ("report it, with the file",)))

    def _without_secrets(self, content: FileContent) -> FileContent:
        """Return *content* whose problems, which show lines of the file to everybody, hold none."""
        hidden = (
            replace(each, message=self._hide(each.message), rendered=self._hide(each.rendered))
            for each in content.problems
        )
        return replace(content, problems=tuple(hidden))


def digest_of(scan: Scan, cut: Iterable[str] = ()) -> str:
    """Return a digest of everything that the snapshot of *scan* depends on; *cut* files were not read."""
    parts = [f"{scan.unreadable or ''}"]
    parts += [f"{found.path}\0{found.digest}" for found in scan.files]
    parts += [f"{refused.path}\0{refused.message}" for refused in scan.refused]
    parts += [f"{path}\0cut" for path in sorted(cut)]
    return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogateescape")).hexdigest()
