"""``python -m lab template``: which versions there are templates of, to release."""

from collections.abc import Mapping
from pathlib import Path

import click

from lab.control import call_now
from lab.given import FOLDER
from lab.layout import Lab
from lab.slots import read_services, version_of


@click.command(short_help="Put templates of a version on the simulator, or list them.")
@FOLDER
@click.argument("service", required=False, metavar="[SERVICE|all]")
@click.argument("versions", nargs=-1, metavar="[VERSION]…")
@click.option("--remove", is_flag=True, help="Delete them instead: a release then finds none.")
def template(root: Path, service: str | None, versions: tuple[str, ...], *, remove: bool) -> None:
    """Put templates of VERSION on the Proxmox simulator's storage; without one, list what is there.

    Every service starts with 1.0.0 and has templates of some further versions from the beginning.
    """
    lab = Lab.open(root)
    patterns = _patterns(lab, service)
    for pattern in patterns.values() if versions else ():
        for version in versions:
            storage, _, name = pattern.replace("{version}", version).partition(":vztmpl/")
            if remove:
                call_now(lab.socket("pve"), "DELETE", f"/templates/{storage}/{name}")
            else:
                wanted = {"templates": [{"storage": storage, "name": name}]}
                call_now(lab.socket("pve"), "POST", "/setup", wanted)
    there = _templates(lab)
    for name, pattern in patterns.items():
        found = [version_of(volume, pattern) for volume in there]
        click.echo(f"{name:20}{' '.join(version for version in found if version != 'unknown')}")


def _patterns(lab: Lab, service: str | None) -> Mapping[str, str]:
    """Return the services' template volumes, with {version} in them."""
    services = read_services(lab.example) | read_services(lab.desired)
    if service not in {None, "all"} | services.keys():
        raise click.UsageError(f"no service {service}; there is {', '.join(sorted(services))}")
    return {
        name: spec.container.template
        for name, spec in sorted(services.items())
        if service in {None, "all", name}
    }


def _templates(lab: Lab) -> list[str]:
    state = call_now(lab.socket("pve"), "GET", "/state")
    found = state.get("templates") if isinstance(state, Mapping) else None
    return [str(volume) for volume in found] if isinstance(found, list) else []
