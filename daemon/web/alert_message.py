"""What Alertmanager sends (webhook, version 4): read strictly, and foreign text made harmless. Pure."""

import hashlib
import json
import re
from datetime import UTC, datetime
from typing import Annotated, Final, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
)
from pydantic.alias_generators import to_camel

from daemon.sources.wording import describe

DEEPEST: Final = 20
"""How deeply the JSON may be nested; Alertmanager's own is 4 deep."""
#: The labels that tell which alert it is, in this order; all others are the sender's business.
_TELLING: Final = ("release", "service", "backend", "server", "instance", "severity")
_LONGEST_NAME: Final = 80
_LONGEST_LABEL: Final = 64
_LONGEST_SUMMARY: Final = 300
_STRING: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_NO_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))


class MessageError(Exception):
    """It is no message of Alertmanager; the text says where that shows, and what was found there."""


def _in_utc(found: datetime) -> datetime:
    try:
        return found.astimezone(UTC)
    except OverflowError:
        raise ValueError("an instant of this calendar is needed") from None


class _Read(BaseModel):
    """Fields that later versions may add are ignored; a wrong type is an error."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, alias_generator=to_camel)


class Alert(_Read):
    """One alert as it began, or as it was resolved."""

    status: Literal["firing", "resolved"]
    labels: dict[str, str]
    annotations: dict[str, str] = Field(default_factory=dict)
    starts_at: Annotated[AwareDatetime, AfterValidator(_in_utc)]
    fingerprint: Annotated[str, StringConstraints(max_length=128)] = ""
    """Digest of the labels, by Alertmanager; who sends by hand may leave it out."""

    @property
    def is_resolved(self) -> bool:
        """Whether it is over."""
        return self.status == "resolved"

    @property
    def name(self) -> str:
        """Its name, fit to be shown."""
        return harmless(self.labels.get("alertname", ""), _LONGEST_NAME) or "an alert without a name"

    @property
    def title(self) -> str:
        """Its name with the labels that tell which one it is, fit to be shown."""
        labels = (
            f"{name}={harmless(self.labels[name], _LONGEST_LABEL)}"
            for name in _TELLING
            if name in self.labels
        )
        shown = ", ".join(labels)
        return f"{self.name} ({shown})" if shown else self.name

    @property
    def summary(self) -> str:
        """What its author says about it, fit to be shown; empty where he says nothing."""
        return harmless(self.annotations.get("summary", ""), _LONGEST_SUMMARY)

    def mark(self, status: str | None = None) -> str:
        """Return its identity: both of a pair of Alertmanagers send the same, also when they repeat it."""
        told = self.fingerprint or _digest(self.labels)
        return f"{told} {self.starts_at.isoformat()} {status or self.status}"


class Message(_Read):
    """One POST."""

    version: Literal["4"]
    truncated_alerts: Annotated[int, Field(ge=0)] = 0
    """Alerts that were left out because the receiver has ``max_alerts``."""
    alerts: tuple[Alert, ...]


def read_message(body: bytes) -> Message:
    """Return the message; raise MessageError for anything else."""
    if _is_too_deep(body):
        raise MessageError(f"the body is nested more than {DEEPEST} deep")
    try:
        return Message.model_validate_json(body)
    except ValidationError as exc:
        first = exc.errors(include_url=False)[0]
    if first["type"] == "json_invalid":
        raise MessageError(f"the body is no JSON: {first['ctx']['error']}")
    told = describe(first, Message, "body", "")
    # The other notes tell how to write YAML.
    notes = told.notes if told.message.endswith("is not allowed") else ()
    raise MessageError("; ".join([told.message, *notes]))


def _is_too_deep(body: bytes) -> bool:
    """Whether brackets outside of strings are nested too deeply; a parser is not asked, it might end us."""
    depth = 0
    for bracket in _STRING.sub(b"", body).translate(None, _NO_BRACKETS):
        depth += 1 if bracket in b"[{" else -1
        if depth > DEEPEST:
            return True
    return False


def harmless(text: str, longest: int) -> str:
    """Return foreign *text* on one line, without control characters, cut to so many characters."""
    if not text.isprintable():
        words = " ".join(text[: 4 * longest].split())
        text = "".join(each for each in words if each.isprintable())
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def _digest(labels: dict[str, str]) -> str:
    text = json.dumps(labels, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
