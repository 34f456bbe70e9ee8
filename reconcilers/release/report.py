"""The story of an attempt in a few lines of Markdown: what was tried, what broke, what was done. Pure."""

from datetime import datetime

from crds.release import Attempt, Phase, Trigger


def report_name(release: str, number: int) -> str:
    """Return the name of the file."""
    return f"{release}-{number}.md"


def report(release: str, attempt: Attempt) -> str:
    """Return a heading and five lines."""
    was = sorted({member.stable_version or "nothing" for member in attempt.members.values()})
    names = ", ".join(attempt.members)
    return (
        f"# {release}: attempt {attempt.number}, {attempt.version}: {attempt.phase.value}\n\n"
        f"- **What**: {', '.join(was)} → {attempt.version} for {names}\n"
        f"- **When**: began {_at(attempt.began_at)}, {_decided(attempt)}, ended {_at(attempt.ended_at)}\n"
        f"- **Why**: {attempt.reason or 'no reason'}: {attempt.message or 'not said'}\n"
        f"- **Users**: {_users(attempt)}\n"
        f"- **Next**: {_next(release, attempt)}\n"
    )


def _next(release: str, attempt: Attempt) -> str:
    if attempt.trigger is Trigger.SPEC:
        return "what the file asks for by now"
    again = f"another version is, or `psactl release retry {release}`"
    return f"{attempt.version} is not tried again by itself; {again}"


def _at(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC" if moment is not None else "not"


def _decided(attempt: Attempt) -> str:
    if attempt.decided_at is None:
        return "never had traffic"
    bad = f"bad since {_at(attempt.first_bad_at)}, " if attempt.first_bad_at is not None else ""
    return f"{bad}decided {_at(attempt.decided_at)}"


def _users(attempt: Attempt) -> str:
    if attempt.step_at is None:
        return "none of them saw it: the candidate never had traffic"
    if attempt.phase is Phase.ROLLED_BACK and attempt.decided_at and attempt.ended_at:
        took = (attempt.ended_at - attempt.decided_at).total_seconds()
        return f"all are back on stable, {took:.1f} s after the decision"
    return "some of them saw it"
