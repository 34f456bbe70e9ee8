"""What is sent to the daemon, and which objects a word means."""

from pathlib import Path

import pytest

from crds.kinds import KINDS
from daemon.cli.references import KIND_WORDS
from tests.builders_cli import a_status, an_object
from tests.fakes.recorded_daemon import RecordedDaemon
from tests.unit.cli.conftest import Psactl

KEYS = ("Container/psa-crm", "Container/psa-redis", "Service/psa-crm")


@pytest.fixture
def platform(daemon: RecordedDaemon) -> RecordedDaemon:
    daemon.objects = [an_object(key) for key in KEYS]
    return daemon


def test_every_kind_has_its_words() -> None:
    assert set(KIND_WORDS) == set(KINDS)


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ([], KEYS),
        (["ct"], KEYS[:2]),
        (["Containers", "svc"], KEYS),
        (["psa-redis"], KEYS[1:2]),
        (["svc", "psa-crm"], KEYS[2:]),
        (["SERVICE/psa-crm", "ct/psa-redis"], KEYS[1:]),
        (["ct", "psa-crm", "psa-redis"], KEYS[:2]),
        (["lb"], ()),
    ],
)
@pytest.mark.usefixtures("platform")
def test_words_choose_objects(pipe: Psactl, words: list[str], meant: tuple[str, ...]) -> None:
    out = pipe("get", *words, "-o", "yaml").out

    assert out.count("apiVersion") == len(meant)
    for key in meant:
        assert f"kind: {key.partition('/')[0]}\n  metadata:\n    name: {key.partition('/')[2]}\n" in out


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("contaner", "did you mean Container?"),
        ("contaner/psa-redis", "did you mean Container?"),
        ("psa-rdis", "did you mean psa-redis?"),
        ("ct/psa-rdis", "did you mean Container/psa-redis?"),
        ("svc/zzz", "psactl get Service lists what there is"),
        ("zzzzzz", "kinds: Container (ct)"),
        ("psa-crm", "say which one"),
    ],
)
def test_a_word_that_means_nothing_is_not_found_with_a_guess(
    platform: RecordedDaemon, pipe: Psactl, word: str, hint: str
) -> None:
    ran = pipe("get", word)

    assert ran.code == 3
    assert hint in ran.err
    assert platform.posted("/api/v1/plan") == []


def test_reconcile_asks_for_each_object(platform: RecordedDaemon, pipe: Psactl) -> None:
    platform.status = a_status(mode="Observe", effectiveModeText="Observe: nothing is changed")

    ran = pipe("reconcile", "ct")

    assert ran.code == 0
    assert platform.posted("/api/v1/reconcile") == [{"object": key} for key in KEYS[:2]]
    assert "nothing is changed" in ran.err


def test_suspend_has_a_reason_and_an_end(platform: RecordedDaemon, pipe: Psactl) -> None:
    forever = pipe("suspend", "psa-redis", "--reason", "a backup")
    for_a_while = pipe("suspend", "psa-redis", "--reason", "a backup", "--for", "90m")

    assert (forever.code, for_a_while.code) == (0, 0)
    assert platform.posted("/api/v1/suspend") == [
        {"object": KEYS[1], "until": None, "reason": "a backup"},
        {"object": KEYS[1], "until": "2026-11-24T13:30:00Z", "reason": "a backup"},
    ]


def test_resume_names_the_object(platform: RecordedDaemon, pipe: Psactl) -> None:
    assert pipe("resume", "psa-redis").out == "✔ Container/psa-redis is reconciled again\n"
    assert platform.posted("/api/v1/resume") == [{"object": KEYS[1]}]


def test_the_mode_is_shown_and_set(daemon: RecordedDaemon, pipe: Psactl) -> None:
    assert pipe("mode").out == "✔ Enforce: differences are removed\n"
    assert pipe("mode", "observe").out == "⏸ Observe\n"
    assert daemon.posted("/api/v1/mode") == [{"mode": "Observe"}]


def test_versions_are_shown_without_a_daemon_too(pipe: Psactl) -> None:
    ran = pipe("version")

    assert ran.code == 0
    assert ran.out.startswith("psactl  ")
    assert "daemon  none (no daemon: there is no socket" in ran.out


@pytest.mark.usefixtures("daemon")
def test_the_doctor_is_content_where_all_is_well(pipe: Psactl, tmp_path: Path) -> None:
    ran = pipe("doctor", "--state", str(tmp_path))

    assert ran.code == 0
    assert "✖" not in ran.out
    assert "MiB free" in ran.out


def test_the_doctor_looks_where_the_daemon_says_unless_told_otherwise(
    daemon: RecordedDaemon, pipe: Psactl, tmp_path: Path
) -> None:
    its, other = tmp_path / "its", tmp_path / "other"
    its.mkdir()
    daemon.status = a_status(paths={"state": str(its), "settings": str(its / "config.yaml")})

    ran = pipe("doctor")
    assert ran.code == 0
    assert f"✔ state directory {its}: " in ran.out
    assert f"there are no settings {its}/config.yaml" in ran.out

    ran = pipe("doctor", "--state", str(other), "--config", str(other / "config.yaml"))
    assert ran.code == 1
    assert f"✖ state directory {other}: " in ran.out
    assert f"there are no settings {other}/config.yaml" in ran.out


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"source": {"healthy": False, "message": "it is empty", "files": 0, "problems": []}},
            "✖ watched directory: it is empty",
        ),
        (
            {"endpoints": [{"name": "pve", "system": "proxmox", "up": False, "breaker": True}]},
            "✖ endpoint pve (proxmox) does not answer",
        ),
    ],
)
def test_the_doctor_names_what_is_ill_and_its_remedy(
    daemon: RecordedDaemon, pipe: Psactl, tmp_path: Path, changes: dict[str, object], said: str
) -> None:
    daemon.status = a_status(**changes)

    ran = pipe("doctor", "--state", str(tmp_path))

    lines = ran.out.splitlines()
    assert ran.code == 1
    assert lines[lines.index(said) + 1].startswith("  → ")


def test_the_doctor_goes_on_where_nobody_answers(pipe: Psactl, tmp_path: Path) -> None:
    ran = pipe("doctor", "--state", str(tmp_path / "none"))

    assert ran.code == 1
    assert ran.out.count("✖") == 2
    assert "--state DIR or PSA_STATE" in ran.out
    assert "PSA_SOCKET" in ran.out


def test_the_example_platform_is_valid(pipe: Psactl) -> None:
    ran = pipe("validate", str(Path(__file__).parents[3] / "examples" / "psa-platform"))

    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("✔ ")


def test_a_broken_file_is_shown_with_its_caret(pipe: Psactl, tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("apiVersion: psa.platform/v1\nkind: Contaner\nmetadata:\n  name: a\nspec: {}\n")

    ran = pipe("validate", str(path), str(tmp_path / "none.yaml"))

    assert (ran.code, ran.out) == (1, "")
    assert f"{path}:2:" in ran.err
    assert "^" in ran.err
    assert "none.yaml" in ran.err
    assert ran.err.endswith("✖ 2 problems in 2 files\n")
