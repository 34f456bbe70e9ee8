"""Which of two versions is older, in the words of distributions and of people."""

import pytest

from crds.versions import is_older


@pytest.mark.parametrize(
    ("version", "floor"),
    [
        ("2.6.11", "2.6.12"),
        ("2.6.12", "2.10"),  # by number, not by letter
        ("7.0.15", "8"),
        ("15.9 (Debian 15.9-0+deb12u1)", "16"),
        ("unknown", "0.0.1"),
    ],
)
def test_it_is_older_by_the_first_number_that_differs(version: str, floor: str) -> None:
    assert is_older(version, floor)
    assert not is_older(floor, version)


@pytest.mark.parametrize(
    ("version", "floor"),
    [
        ("2.6.12-1+deb12u4", "2.6.12"),
        ("15.9 (Debian 15.9-0+deb12u1)", "15.9.0"),
        ("17devel", "17.0"),
        ("8.0", "8"),
        ("8.0.0-SNAPSHOT", "8.0.0"),
    ],
)
def test_what_is_added_and_what_is_left_out_makes_no_version_older(version: str, floor: str) -> None:
    assert not is_older(version, floor)
    assert not is_older(floor, version)
