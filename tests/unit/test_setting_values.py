"""What a file may write as the value of a server's setting, and the text that the server is given."""

import pytest
from pydantic import TypeAdapter, ValidationError

from crds import postgres_values, rabbitmq, redis

POSTGRES: TypeAdapter[str] = TypeAdapter(postgres_values.SettingValue)
REDIS: TypeAdapter[str] = TypeAdapter(redis.SettingValue)
RABBITMQ: TypeAdapter[str] = TypeAdapter(rabbitmq.Line)


@pytest.mark.parametrize(
    ("value", "postgres", "in_redis"),
    [
        (True, "on", "yes"),
        (False, "off", "no"),
        (200, "200", "200"),
        (0.5, "0.5", "0.5"),
        ("128MB", "128MB", "128MB"),
        ("", "", ""),
    ],
)
def test_a_plain_value_becomes_the_words_of_its_server(value: object, postgres: str, in_redis: str) -> None:
    assert POSTGRES.validate_python(value) == postgres
    assert REDIS.validate_python(value) == in_redis


def test_a_list_is_words_in_a_row_to_redis_alone() -> None:
    assert REDIS.validate_python([50, 99, 99.9]) == "50 99 99.9"
    with pytest.raises(ValidationError, match="text, a number, true or false is needed"):
        POSTGRES.validate_python([50, 99])


@pytest.mark.parametrize("value", [None, {"a": 1}, [{"a": 1}]])
def test_what_is_no_plain_value_is_refused(value: object) -> None:
    for each in (POSTGRES, REDIS):
        with pytest.raises(ValidationError, match="text, a number"):
            each.validate_python(value)


@pytest.mark.parametrize(("model", "longest"), [(POSTGRES, 1024), (REDIS, 1024), (RABBITMQ, 255)])
def test_a_value_is_one_line_of_bounded_length(model: TypeAdapter[str], longest: int) -> None:
    assert model.validate_python("x" * longest) == "x" * longest
    for wrong in ("x" * (longest + 1), "two\nlines", "bell\a"):
        with pytest.raises(ValidationError, match=f"one line of at most {longest} characters"):
            model.validate_python(wrong)
