"""What plain scalars mean."""

import pytest

from daemon.sources.scalars import NumberError, Scalar, resolve


@pytest.mark.parametrize(
    "text",
    [
        "no", "yes", "on", "off", "y", "NO", "22:30", "1:30", "010", "0777", "-010", "00.5", "2026-11-24",
        "1_000", "0b101", "0o8", "0xg", "1.2.3", "12e", "e3", ".", "-", "+", "--1", "1e", "0x", "<<", "TrUe",
        "nULL",
    ],
)  # fmt: skip
def test_what_looks_like_text_stays_text(text: str) -> None:
    assert resolve(text) == text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True), ("True", True), ("TRUE", True), ("false", False), ("FALSE", False),
        ("", None), ("~", None), ("null", None), ("Null", None), ("NULL", None),
        ("0", 0), ("-7", -7), ("+7", 7), ("1350", 1350), ("0o17", 15), ("0xff", 255), ("0xFF", 255),
        ("1.5", 1.5), ("-1.5", -1.5), (".5", 0.5), ("1.", 1.0), ("1e3", 1000.0), ("1.5E-1", 0.15),
    ],
)  # fmt: skip
def test_the_core_schema_is_read(text: str, value: Scalar) -> None:
    resolved = resolve(text)
    assert (resolved, type(resolved)) == (value, type(value))


@pytest.mark.parametrize(
    "text", [".inf", "-.INF", "+.Inf", ".nan", "1e999", "-1e999", "1" * 41, "0x" + "f" * 5000]
)
def test_numbers_that_no_field_can_take_are_refused(text: str) -> None:
    with pytest.raises(NumberError):
        resolve(text)


def test_a_long_text_of_digits_and_signs_is_no_number() -> None:
    assert resolve("1-" * 100) == "1-" * 100
