"""The hooks of a lab: run as the daemon runs them, from the settings that the lab writes."""

import asyncio
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from crds.service import Color
from daemon.settings import load_settings
from lab.app_faults import AppFault
from lab.commands import cli
from lab.hook_fault_command import clear_hooks, troubles_of
from lab.hooks.program import TROUBLES
from lab.layout import Lab
from lab.processes import end, marked
from lab.wiring import HOOKS, daemon_settings
from reconcilers.hook_runs import HookResult, HookRun, HookState
from reconcilers.transports.hooks import HookRunner
from tests.lab.app_sites import a_site, a_slot, served
from tests.real_hooks import Programs, a_run, until_over

_PRINT = "AA:" * 31 + "AA"


@pytest.fixture
def lab(short_path: Path, number: int) -> Iterator[Lab]:
    """A lab's folder and settings, without any part of it running."""
    lab = Lab.create(short_path / "lab", number)
    lab.token.touch(mode=0o600)
    lab.token.write_text("psa@pve!reconciler=01234567-89ab-cdef-0123-456789abcdef\n")
    lab.config.write_text(daemon_settings(lab, fingerprint=_PRINT, keeps_state=False))
    yield lab
    end(marked(lab.record.mark), grace_s=0)


@pytest.fixture
async def runner(lab: Lab) -> AsyncIterator[HookRunner]:
    settings = load_settings(lab.config, {}, {})
    hooks = {name: hook.hook(name) for name, hook in settings.hooks.items()}
    runner = Programs(lab.root, hooks).runner()
    await runner.sweep()
    yield runner
    await runner.close()


async def run(runner: HookRunner, hook: str, asked: HookRun | None = None) -> HookResult:
    asked = asked or a_run(f"psa-suite.1.{hook}", hook)
    await runner.start(asked)
    return await until_over(runner, asked.run_id)


def trouble(lab: Lab, hook: str, word: str, *seconds: str) -> None:
    done = CliRunner().invoke(cli, ["fault", "--dir", str(lab.root), "hook", hook, word, *seconds])
    assert done.exit_code == 0, done.output


def against(host: str, version: str, hook: str = "smoke") -> HookRun:
    """A run against a candidate's own address."""
    return a_run(
        f"psa-suite.1.{hook}",
        hook,
        service="psa-crm",
        color="green",
        address=host,
        port=3000,
        version=version,
    )


async def test_every_hook_of_the_settings_passes_within_a_second(runner: HookRunner) -> None:
    for hook in HOOKS:
        if hook in {"smoke", "functional"}:
            continue
        result = await run(runner, hook)
        assert result.state is HookState.PASSED, result
        assert result.seconds < 1
        assert result.tail == f"{hook}: 42 passed\n"


async def test_smoke_asks_the_candidate_itself(runner: HookRunner, number: int) -> None:
    host = f"127.{number}.20.111"
    site = a_site(a_slot(host, service="psa-crm", color=Color.GREEN), version="1.2.0")
    async with served(site):
        result = await run(runner, "smoke", against(host, "1.2.0"))
    assert result.state is HookState.PASSED, result
    assert f"GET http://{host}:3000/health: 200, version 1.2.0" in result.tail
    assert site.counts == {"200": 1}


async def test_smoke_asks_again_where_a_page_fails_now_and_then(runner: HookRunner, number: int) -> None:
    host = f"127.{number}.20.111"
    draws = iter((0.04, 0.5))
    site = a_site(
        a_slot(host, service="psa-crm", color=Color.GREEN),
        AppFault(error_rate=0.05),
        version="1.2.0",
        draw=lambda: next(draws),
    )
    async with served(site):
        result = await run(runner, "smoke", against(host, "1.2.0"))
    assert result.state is HookState.PASSED, result
    assert site.counts == {"500": 1, "200": 1}


@pytest.mark.parametrize(
    ("fault", "version", "said"),
    [
        (AppFault(), "1.3.0", "200 and version 1.3.0 were expected"),
        (AppFault(health_version="1.1.0"), "1.2.0", "200 and version 1.2.0 were expected"),
        (AppFault(unhealthy=True), "1.2.0", "/health: 503"),
        (AppFault(error_rate=1), "1.2.0", "/: 500"),
        (AppFault(garbage=1), "1.2.0", "/: "),
        (AppFault(hang=1), "1.2.0", "timed out"),
    ],
)
async def test_smoke_fails_where_the_candidate_is_not_well(
    runner: HookRunner, number: int, fault: AppFault, version: str, said: str
) -> None:
    host = f"127.{number}.20.111"
    async with served(a_site(a_slot(host, service="psa-crm", color=Color.GREEN), fault, version="1.2.0")):
        result = await run(runner, "smoke", against(host, version))
    assert (result.state, result.exit_status) == (HookState.FAILED, 1)
    assert said in result.tail


async def test_smoke_fails_where_nobody_listens_or_no_candidate_is_named(
    runner: HookRunner, number: int
) -> None:
    nobody = await run(runner, "smoke", against(f"127.{number}.20.111", "1.2.0"))
    assert nobody.state is HookState.FAILED
    assert "Connection refused" in nobody.tail
    unnamed = await run(runner, "functional")
    assert unnamed.state is HookState.FAILED
    assert "no address to ask" in unnamed.tail


async def test_a_hook_fails_on_demand_until_it_is_well_again(lab: Lab, runner: HookRunner) -> None:
    trouble(lab, "unit", "fail")
    assert troubles_of(lab) == {"unit": "fail"}
    result = await run(runner, "unit")
    assert (result.state, result.exit_status) == (HookState.FAILED, 1)
    assert "1 failed, 41 passed" in result.tail
    trouble(lab, "unit", "well")
    assert (await run(runner, "unit", a_run("psa-suite.2.unit"))).state is HookState.PASSED


async def test_a_hook_dies_of_a_signal_on_demand(lab: Lab, runner: HookRunner) -> None:
    trouble(lab, "audit", "crash")
    assert (await run(runner, "audit")).signal == signal.SIGSEGV


@pytest.mark.parametrize("word", ["hang", "stubborn"])
async def test_a_hook_that_waits_is_ended_and_leaves_nothing(lab: Lab, runner: HookRunner, word: str) -> None:
    trouble(lab, "e2e", word)
    await runner.start(a_run("psa-suite.1.e2e", "e2e"))
    while not marked(lab.record.mark):
        await asyncio.sleep(0.01)
    await runner.stop("psa-suite.1.e2e")
    assert marked(lab.record.mark) == frozenset()


async def test_a_hook_that_floods_is_ended(lab: Lab, runner: HookRunner) -> None:
    trouble(lab, "build", "flood")
    result = await run(runner, "build")
    assert result.state is HookState.FAILED
    assert result.output_bytes > 1_000_000
    assert result.is_cut


@pytest.mark.parametrize("word", ["fork", "escape"])
def test_a_child_that_a_hook_leaves_carries_the_labs_mark(lab: Lab, word: str) -> None:
    trouble(lab, "unit", word)
    argv = load_settings(lab.config, {}, {}).hooks["unit"].argv
    parent = subprocess.run(argv, check=False, timeout=10, env={}, stdout=subprocess.DEVNULL)
    assert parent.returncode == 0
    (child,) = marked(lab.record.mark)
    assert (os.getpgid(child.pid) == os.getpgrp()) is (word == "fork")
    assert end([child], grace_s=1) == frozenset()


async def test_a_slow_hook_does_its_work_all_the_same(lab: Lab, runner: HookRunner) -> None:
    trouble(lab, "integration", "slow", "--seconds", "0.3")
    result = await run(runner, "integration")
    assert result.state is HookState.PASSED
    assert result.seconds >= 0.3


async def test_a_child_that_has_the_output_does_not_hold_the_result(lab: Lab, runner: HookRunner) -> None:
    trouble(lab, "unit", "fork")
    result = await run(runner, "unit")
    assert result.seconds < 10
    assert marked(lab.record.mark) == frozenset()


def test_clearing_makes_every_hook_well(lab: Lab) -> None:
    for word, hook in zip(TROUBLES, HOOKS, strict=False):
        trouble(lab, hook, word)
    assert len(troubles_of(lab)) == len(HOOKS)
    clear_hooks(lab)
    assert troubles_of(lab) == {}
