"""Verifiers: what PostgreSQL stores of a password, and whether one belongs to it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconcilers.postgres.scram import SALT_BYTES, is_password, salt_for, verifier

#: RFC 7677's example: user, pencil, salt and iterations; the two keys follow from its messages.
PENCIL = (
    "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"
    "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
)
PASSWORDS = st.text(max_size=12)


def test_the_rfcs_password_is_known_again() -> None:
    assert is_password("pencil", PENCIL)
    assert not is_password("pen", PENCIL)


@given(password=PASSWORDS, other=PASSWORDS, salt=st.binary(min_size=1, max_size=20))
def test_a_verifier_is_of_its_password_and_of_no_other(password: str, other: str, salt: bytes) -> None:
    stored = verifier(password, salt, iterations=2)
    assert is_password(password, stored)
    assert is_password(other, stored) is (verifier(other, salt, iterations=2) == stored)


@given(password=st.text(st.characters(codec="ascii"), max_size=8), salt=st.binary(min_size=1, max_size=20))
def test_two_passwords_of_ascii_never_share_a_verifier(password: str, salt: bytes) -> None:
    assert verifier(password, salt, iterations=2) != verifier(password + "x", salt, iterations=2)


@given(stored=st.text(max_size=100))
def test_what_is_no_verifier_is_of_nobody(stored: str) -> None:
    assert not is_password("pencil", stored)


@pytest.mark.parametrize(
    "stored",
    [
        "",
        "md5a3556571e93b0d20722ba62be61e8c2d",
        PENCIL.replace("4096", "0"),
        PENCIL.replace("4096", "9999999"),
        PENCIL.replace("W22", "W2=2"),
        PENCIL.replace("SHA-256", "SHA-1"),
        PENCIL[:-1],
    ],
)
def test_a_damaged_or_another_form_is_of_nobody(stored: str) -> None:
    assert not is_password("pencil", stored)


@pytest.mark.parametrize(
    ("typed", "means"),
    [
        ("caf\u0065\u0301", "caf\u00e9"),
        ("a\u00a0b", "a b"),
        ("I\u00adX", "IX"),
        ("\u2168", "IX"),
        ("\u200bnothing", " nothing"),
    ],
)
def test_passwords_are_prepared_as_clients_prepare_them(typed: str, means: str) -> None:
    assert is_password(means, verifier(typed, b"salt", iterations=2))


@pytest.mark.parametrize("password", ["\u0627\u0031", "\u0007\u00e9", "\u0221", "\ue000\u00e9", "\u00ad"])
def test_what_may_not_be_prepared_is_taken_as_it_is(password: str) -> None:
    assert is_password(password, verifier(password, b"salt", iterations=2))


def test_a_salt_is_long_enough_and_follows_from_its_seed() -> None:
    assert len(salt_for(b"one")) == SALT_BYTES
    assert salt_for(b"one") == salt_for(b"one") != salt_for(b"two")
