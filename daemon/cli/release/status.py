"""psactl release status."""

from collections.abc import Sequence
from dataclasses import replace

import click

from daemon.cli.documents import data_option, document
from daemon.cli.failures import steered
from daemon.cli.release.live import changes, interruptible, redraw
from daemon.cli.release.scene import KIND, Scene, all_scenes, meant, no_release, scene_of
from daemon.cli.release.view import summary, whole
from daemon.cli.screen import Screen
from daemon.cli.session import Session, reaches_daemon, session
from daemon.cli.spans import SPAN


@click.command(short_help="Show how a release is and what comes next; -w goes on.")
@click.argument("name", required=False)
@click.option("-w", "--watch", is_flag=True, help="Go on: redraw, or print a line for each change in a pipe.")
@click.option("--every", "every_s", type=SPAN, default="1s", show_default=True, help="How often to look.")
@data_option
@reaches_daemon
def status(name: str | None, every_s: float, form: str | None, *, watch: bool) -> None:
    """Show whether a release is fine, who is live, what comes next, and what you can do.

    Without a NAME all releases are shown; one alone is shown whole.
    """
    here = session()
    with steered():
        here.catch_up()
        if name is not None:
            name = meant(here, name, "status").name
        if form is not None:
            raw = here.client.get("objects", KIND, *([name] if name else []))
            click.echo(document(raw, form))
        elif watch:
            _watch(here, name, every_s)
        else:
            click.echo(page(_look(here, name), replace(here.out, rows=None)))


def _look(here: Session, name: str | None) -> Sequence[Scene]:
    found = (scene_of(here, name),) if name is not None else all_scenes(here)
    if not found:
        raise no_release()
    return found


def _watch(here: Session, name: str | None, every_s: float) -> None:
    with interruptible(here):
        if here.out.rows is None:
            changes(here, lambda: _look(here, name), every_s)
        else:
            redraw(here, lambda: _look(here, name), page, every_s)


def page(scenes: Sequence[Scene], screen: Screen) -> str:
    """Return one release whole, several in short."""
    if len(scenes) == 1:
        return whole(scenes[0], screen)
    return "\n\n".join("\n".join(summary(scene, screen)) for scene in scenes)
