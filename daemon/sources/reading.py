"""A scan's files → what they declare. Only files whose content changed are parsed."""

import hashlib
from collections.abc import Mapping

from daemon.sources.assembly import assemble, refused_content
from daemon.sources.directory import FoundFile, Scan
from daemon.sources.objects import FileContent, read_objects
from daemon.sources.parser import Parser
from daemon.sources.snapshot import Snapshot


class Reading:
    """What the files said when they were last read."""

    def __init__(self, parser: Parser, systems: Mapping[str, str] | None = None) -> None:
        self._parser = parser
        self._systems = systems
        self._contents: dict[str, tuple[str, FileContent]] = {}

    def known(self) -> Mapping[str, str]:
        """Return the digest of each file that need not be read again while it stays the same."""
        return {path: digest for path, (digest, _) in self._contents.items()}

    async def read(self, scan: Scan) -> Snapshot:
        """Return what the files of *scan* say together."""
        contents: dict[str, tuple[str, FileContent]] = {}
        for found in scan.files:
            contents[found.path] = await self._read(found)
        self._contents = contents
        refused = [refused_content(file) for file in scan.refused]
        together = [*(content for _, content in contents.values()), *refused]
        by_name = sorted(together, key=lambda content: content.file)
        return assemble(by_name, digest_of(scan), self._systems)

    async def _read(self, found: FoundFile) -> tuple[str, FileContent]:
        digest, content = self._contents.get(found.path, ("", None))
        if content is not None and (found.data is None or digest == found.digest):
            return digest, content
        data = found.data or b""
        return found.digest, read_objects(found.path, data, await self._parser.parse(data))


def digest_of(scan: Scan) -> str:
    """Return a digest of everything that the snapshot of *scan* depends on."""
    parts = [f"{scan.unreadable or ''}"]
    parts += [f"{found.path}\0{found.digest}" for found in scan.files]
    parts += [f"{refused.path}\0{refused.message}" for refused in scan.refused]
    return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogateescape")).hexdigest()
