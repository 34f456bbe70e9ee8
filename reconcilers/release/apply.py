"""Carries out what a release does outside itself: hooks and reports."""

from typing import assert_never

from reconcilers.contract import DONE, Outcome, OutcomeKind
from reconcilers.release.client import Hooks, Reports
from reconcilers.release.model import ReleaseAction, StartHook, StopHook, WriteReport


async def apply_action(hooks: Hooks, reports: Reports, action: ReleaseAction) -> Outcome:
    """Do one thing. A hook that was begun is followed by its run's name."""
    match action:
        case StartHook(run):
            return Outcome(OutcomeKind.RUNNING, reference=await hooks.start(run))
        case StopHook(run_id, is_awaited=True):
            await hooks.stop(run_id)
        case StopHook(run_id):
            hooks.dismiss(run_id)
        case WriteReport(name, text):
            await reports.write(name, text)
        case _:
            assert_never(action)
    return DONE
