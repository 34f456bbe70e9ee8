"""What Proxmox's refusals mean: absence, conflicts and locks are all status 500 and told apart by text."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from reconcilers.contract import NotSentError, PermanentError, TransientError

#: A refusal with one of these texts may follow success: the lock file was waited for half-way.
_MAYBE_DONE: Final = ("got timeout", "got signal", "interrupted by signal")
#: pveproxy's own codes for "the other node did not answer" (AnyEvent::HTTP).
_CONNECT_FAILED: Final = 595
_BAD_PARAMETERS: Final = 400
_DIED: Final = 500
_PERMANENT: Final = {401: "Unauthorized", 403: "Forbidden", 501: "NotSupported"}
_NODE_SILENT: Final = range(595, 600)


class AbsentError(NotSentError):
    """Proxmox says that there is no such container on that node, or no such task."""


class NodeSilentError(TransientError):
    """The API answered, but the node behind it did not: what is there is unknown."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer with status 400 or more. ``fields`` are the texts of a schema violation, by parameter."""

    method: str
    path: str
    status: int
    reason: str
    message: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """All that Proxmox said, on one line."""
        said = " ".join((self.message or self.reason).split())
        details = "; ".join(f"{name}: {' '.join(text.split())}" for name, text in sorted(self.fields.items()))
        return f"{said} ({details})" if details else said

    def __str__(self) -> str:
        return f"{self.method} {self.path}: {self.status} {self.text}"


def classify(refusal: Refusal) -> TransientError | PermanentError:
    """Return the error of the contract that *refusal* means; the caller raises it."""
    reason = _PERMANENT.get(refusal.status)
    if reason is not None:
        return PermanentError(str(refusal), reason=reason)
    if refusal.status == _BAD_PARAMETERS:
        return _of_parameters(refusal)
    if refusal.status == _DIED:
        return _of_death(refusal)
    if refusal.status in _NODE_SILENT:
        return _of_silence(refusal)
    return TransientError(str(refusal))


def _of_parameters(refusal: Refusal) -> TransientError | PermanentError:
    if refusal.fields.get("upid") == "no such task":
        return AbsentError(str(refusal))
    if any("unable to hotplug" in text for text in refusal.fields.values()):
        # Not the spec's fault: the bridge or the disk may come.
        return NotSentError(str(refusal))
    return PermanentError(str(refusal), reason="InvalidRequest")


def _of_death(refusal: Refusal) -> TransientError | PermanentError:
    """Almost everything that goes wrong is a 500 whose text says what (proxmox.md §2.1)."""
    text = refusal.text
    if text.startswith("Configuration file") and text.endswith("does not exist"):
        return AbsentError(str(refusal))
    if text.startswith("hostname lookup"):
        return PermanentError(str(refusal), reason="UnknownNode")
    if any(words in text for words in _MAYBE_DONE):
        return TransientError(str(refusal))
    return NotSentError(str(refusal))


def _of_silence(refusal: Refusal) -> TransientError | PermanentError:
    if refusal.method == "GET":
        return NodeSilentError(str(refusal))
    if refusal.status == _CONNECT_FAILED:
        return NotSentError(str(refusal))
    return TransientError(str(refusal))
