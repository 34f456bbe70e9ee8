"""Names and values in statements are what they were, whatever they hold; and what errors mean."""

import psycopg.conninfo
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconcilers.contract import NotSentError, PermanentError, Secret, TransientError
from reconcilers.postgres.actions import MakeSlot, PutRole, Target
from reconcilers.transports import postgres_statements as statements
from reconcilers.transports.postgres_errors import of_connecting, of_network, of_talking

AT = Target("psa-db", "one")
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"))


@given(TEXT)
def test_an_identifier_is_one_quoted_word_or_refused(name: str) -> None:
    if not 1 <= len(name.encode()) <= 63:
        with pytest.raises(PermanentError) as caught:
            statements.quoted(name)
        assert caught.value.reason == "BadName"
        return
    word = statements.quoted(name)
    assert (word[0], word[-1]) == ('"', '"')
    assert '"' not in word[1:-1].replace('""', "")
    assert word[1:-1].replace('""', '"') == name


@given(TEXT)
def test_a_value_is_one_constant(value: str) -> None:
    text = statements.literal(value)
    inner = text.removeprefix("E")[1:-1]
    assert (text.removeprefix("E")[0], text[-1]) == ("'", "'")
    assert "'" not in inner.replace("''", "")
    plain = inner.replace("\\\\", "\\") if text.startswith("E") else inner
    assert plain.replace("''", "'") == value
    assert text.startswith("E") is ("\\" in value)


@pytest.mark.parametrize("value", ["", "\0"])
def test_what_can_be_no_name_is_refused(value: str) -> None:
    with pytest.raises(PermanentError):
        statements.quoted(value)


def test_a_zero_byte_can_be_in_no_value() -> None:
    with pytest.raises(PermanentError):
        statements.literal("a\0b")


@pytest.mark.parametrize("name", ["work_mem; DROP", "Work_Mem", "", "a.b.c", "ä"])
def test_what_can_be_no_setting_is_refused(name: str) -> None:
    with pytest.raises(PermanentError):
        statements.alter_system(name, "1")


def test_a_list_of_names_is_one_literal_a_name() -> None:
    said = statements.alter_system("search_path", '"$user", App, "it\'s"')
    assert said == "ALTER SYSTEM SET search_path = '$user', 'app', 'it''s'"
    assert statements.alter_system("search_path", "") == "ALTER SYSTEM SET search_path = ''"
    assert statements.alter_system("log_line_prefix", "a, b") == "ALTER SYSTEM SET log_line_prefix = 'a, b'"


@given(st.dictionaries(st.sampled_from(["host", "user", "password", "application_name"]), TEXT))
def test_a_connection_string_is_read_as_it_was_written_by_us_and_by_libpq(pairs: dict[str, str]) -> None:
    text = statements.write_conninfo(pairs).value
    assert statements.read_conninfo(text) == pairs
    assert psycopg.conninfo.conninfo_to_dict(text) == pairs


@pytest.mark.parametrize(
    "uri",
    [
        "postgresql://replicator:p%40ss@10.0.30.10:5432/?sslmode=verify-full&sslrootcert=/etc/ca.pem",
        "postgres://replicator@db.internal/postgres?application_name=a%20b",
        "postgresql://h1:1,h2:2/?target_session_attrs=any",
        "postgresql://h1,h2:2/?ssl=true",
        "postgresql://[2001:db8::1]:5432",
        "postgresql:///?host=/run/postgresql&user=u",
        "postgresql://",
    ],
)
def test_a_connection_string_that_is_a_uri_is_read_as_libpq_reads_it(uri: str) -> None:
    """Whoever leads a standby back keeps what stands there: sslmode, for one."""
    assert statements.read_conninfo(uri) == psycopg.conninfo.conninfo_to_dict(uri)


def test_a_connection_string_of_pg_basebackup_is_read() -> None:
    text = "user=replicator password='it''s' host=10.0.30.10 port = 5432 sslmode=prefer"
    assert statements.read_conninfo("user=a password='it\\'s \\\\' port = 5432") == {
        "user": "a",
        "password": "it's \\",
        "port": "5432",
    }
    assert statements.read_conninfo(text.replace("''", "\\'"))["sslmode"] == "prefer"
    assert statements.read_conninfo("nonsense") == {}


def test_statements_read_as_people_write_them() -> None:
    role = PutRole(
        AT,
        "psa_app",
        is_new=True,
        options=("LOGIN",),
        connection_limit=5,
        verifier=Secret("SCRAM-SHA-256$1:a$b:c"),
        groups=("pg_monitor",),
    )
    assert [*statements.put_role(role)] == [
        "CREATE ROLE \"psa_app\" LOGIN CONNECTION LIMIT 5 PASSWORD 'SCRAM-SHA-256$1:a$b:c'",
        'GRANT "pg_monitor" TO "psa_app"',
    ]
    only_groups = PutRole(AT, "psa_app", is_new=False, groups=("pg_monitor",))
    assert [*statements.put_role(only_groups)] == ['GRANT "pg_monitor" TO "psa_app"']
    assert [*statements.put_role(PutRole(AT, "plain", is_new=True))] == ['CREATE ROLE "plain"']
    assert statements.create_database("a", "b") == 'CREATE DATABASE "a" OWNER "b"'
    assert statements.put_schema("a", "b", is_new=True) == 'CREATE SCHEMA "a" AUTHORIZATION "b"'
    assert statements.put_schema("a", "b", is_new=False) == 'ALTER SCHEMA "a" OWNER TO "b"'
    assert statements.put_schema("a", None, is_new=False) is None
    assert statements.make_slot(MakeSlot(AT, "s", "pgoutput", "app"))[1] == ("s", "pgoutput")
    with pytest.raises(PermanentError):
        statements.put_role(PutRole(AT, "psa_app", is_new=True, options=("SUPERUSER",)))


@pytest.mark.parametrize(
    ("code", "words", "kind", "reason"),
    [
        ("25006", "read-only transaction", NotSentError, None),
        ("55P03", "lock timeout", NotSentError, None),
        ("57014", "statement timeout", NotSentError, None),
        ("53300", "too many clients", NotSentError, None),
        ("57P01", "terminating connection", TransientError, None),
        ("08006", "connection failure", TransientError, None),
        ("XX000", "internal", TransientError, None),
        (None, "no code", TransientError, None),
        ("42501", "permission denied", PermanentError, "MissingPrivilege"),
        ("42704", 'unrecognized configuration parameter "x"', PermanentError, "UnknownSetting"),
        ("42704", 'role "x" does not exist', PermanentError, "UnknownObject"),
        ("22023", "invalid value", PermanentError, "BadValue"),
        ("42601", "syntax error", PermanentError, "Refused"),
    ],
)
def test_what_an_answer_means(
    code: str | None, words: str, kind: type[Exception], reason: str | None
) -> None:
    error = of_talking(code, words, "one at there")
    assert type(error) is kind
    assert words in str(error)
    assert getattr(error, "reason", None) == reason


@pytest.mark.parametrize(
    ("code", "kind"),
    [("28P01", PermanentError), ("28000", PermanentError), ("53300", NotSentError), ("57P03", NotSentError)],
)
def test_what_a_closed_door_means(code: str, kind: type[Exception]) -> None:
    assert type(of_connecting(code, "closed", "one at there", "psa")) is kind


def test_what_the_network_says_is_told_in_words() -> None:
    assert "nobody listens" in str(of_network(ConnectionRefusedError(), "there", is_tls=False))
    assert "no answer" in str(of_network(TimeoutError(), "there", is_tls=False))
    assert str(of_network(OSError("Name or service not known"), "there", is_tls=False)).endswith("not known")
