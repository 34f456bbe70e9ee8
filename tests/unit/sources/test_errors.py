"""The texts that people see when a file is wrong, word for word."""

import pytest

from crds.kinds import FILE_KINDS
from crds.meta import Metadata
from daemon.sources.wording import PATTERNS
from tests.builders_source import container_yaml, content_of, rendered

HEAD = "apiVersion: psa.platform/v1\nkind: Container\nmetadata: {name: psa-crm}\n"


def container(spec: str) -> str:
    """Return a container whose spec has these lines behind the needed ones."""
    return container_yaml("psa-crm", 101) + spec


def redis(spec: str) -> str:
    """Return a RedisInstance whose spec has these lines behind its endpoint."""
    head = HEAD.replace("kind: Container", "kind: RedisInstance")
    return f"{head}spec:\n  endpoint: psa-redis\n{spec}"


def postgres(spec: str) -> str:
    """Return a PostgresCluster whose spec has these lines behind its endpoint."""
    head = HEAD.replace("kind: Container", "kind: PostgresCluster")
    return f"{head}spec:\n  endpoint: psa-db\n{spec}"


GOLDEN: dict[str, tuple[str | bytes, str]] = {
    "unknown field": (
        container("  memroy: 8Gi\n"),
        """
web.yaml:9:3: error: spec: there is no field "memroy"
  9 |   memroy: 8Gi
    |   ^^^^^^
    = did you mean "memory"?
""",
    ),
    "unknown field like no other": (
        container("  features: {nested: true, docker: true}\n"),
        """
web.yaml:9:14: error: spec.features: there is no field "nested"
  9 |   features: {nested: true, docker: true}
    |              ^^^^^^
    = allowed: fuse, keyctl, nesting
web.yaml:9:28: error: spec.features: there is no field "docker"
  9 |   features: {nested: true, docker: true}
    |                            ^^^^^^
    = allowed: fuse, keyctl, nesting
""",
    ),
    "snake case": (
        container("  on_boot: true\n"),
        """
web.yaml:9:3: error: spec: there is no field "on_boot"
  9 |   on_boot: true
    |   ^^^^^^^
    = did you mean "onBoot"?
""",
    ),
    "too large": (
        container("  cores: 9000\n"),
        """
web.yaml:9:10: error: spec.cores: 9000 is too large: at most 8192 is allowed
  9 |   cores: 9000
    |          ^^^^
""",
    ),
    "number without its unit": (
        container("  memory: 4096\n"),
        """
web.yaml:9:11: error: spec.memory: 4096 is not allowed
  9 |   memory: 4096
    |           ^^^^
    = an amount with its unit is needed: Mi, Gi or Ti, such as 512Mi or 4Gi
""",
    ),
    "yes": (
        container("  adopt: yes\n"),
        """
web.yaml:9:10: error: spec.adopt: true or false is needed, found "yes"
  9 |   adopt: yes
    |          ^^^
    = "yes" is a word in YAML 1.2: write true
""",
    ),
    "enum in small letters": (
        container("  mode: observe\n"),
        """
web.yaml:9:9: error: spec.mode: "observe" is not allowed
  9 |   mode: observe
    |         ^^^^^^^
    = did you mean "Observe"?
    = allowed: Enforce, Observe
""",
    ),
    "word where a list is needed": (
        container("  allow: restart\n"),
        """
web.yaml:9:10: error: spec.allow: a list is needed, found "restart"
  9 |   allow: restart
    |          ^^^^^^^
    = write [restart]
""",
    ),
    "number where text is needed": (
        container("  hostname: 1.10\n"),
        """
web.yaml:9:13: error: spec.hostname: text is needed, found 1.1
  9 |   hostname: 1.10
    |             ^^^^
    = put it in quotes if it is meant as text: "1.10"
""",
    ),
    "text where a number is needed": (
        container('  cores: "2"\n'),
        """
web.yaml:9:10: error: spec.cores: a whole number is needed, found "2"
  9 |   cores: "2"
    |          ^^^
    = write it without quotes: 2
""",
    ),
    "leading zero": (
        container("  cores: 010\n"),
        """
web.yaml:9:10: error: spec.cores: a whole number is needed, found "010"
  9 |   cores: 010
    |          ^^^
""",
    ),
    "list where a mapping is needed": (
        container("  features: [nesting]\n"),
        """
web.yaml:9:3: error: spec.features: a mapping is needed, found a list
  9 |   features: [nesting]
    |   ^^^^^^^^
    = write "field: value" lines below it, indented
""",
    ),
    "entry of a list": (
        container("  tags: [ok, Not OK]\n"),
        """
web.yaml:9:14: error: spec.tags[1]: "Not OK" is not allowed
  9 |   tags: [ok, Not OK]
    |              ^^^^^^
    = allowed: small letters, digits and _ . + -, 61 at most
""",
    ),
    "two mistakes in one field's value": (
        container("  network: {bridge: vmbr1, address: 10.0.20.10, vlan: 5000}\n"),
        """
web.yaml:9:37: error: spec.network.address: "10.0.20.10" is not allowed
  9 |   network: {bridge: vmbr1, address: 10.0.20.10, vlan: 5000}
    |                                     ^^^^^^^^^^
    = an IPv4 address with its prefix length is needed, such as 10.0.20.10/24
web.yaml:9:55: error: spec.network.vlan: 5000 is too large: at most 4094 is allowed
  9 |   network: {bridge: vmbr1, address: 10.0.20.10, vlan: 5000}
    |                                                       ^^^^
""",
    ),
    "missing fields": (
        HEAD + "spec:\n  endpoint: pve\n  node: pve1\n  ctid: 101\n",
        """
web.yaml:4:1: error: spec: the field "template" is missing
  4 | spec:
    | ^^^^
    = template: Volume of the template that it is created from.
""",
    ),
    "name of an object": (
        container_yaml("Bad_Name"),
        """
web.yaml:3:18: error: metadata.name: "Bad_Name" is not allowed
  3 | metadata: {name: Bad_Name}
    |                  ^^^^^^^^
    = allowed: small letters, digits and -, beginning and ending with a letter
      or digit, 63 at most, such as psa-redis
""",
    ),
    "unknown kind": (
        "apiVersion: psa.platform/v1\nkind: Contaner\nmetadata: {name: x}\nspec: {}\n",
        """
web.yaml:2:7: error: kind: there is no kind "Contaner" in this version
  2 | kind: Contaner
    |       ^^^^^^^^
    = did you mean "Container"?
    = allowed: Container, Elasticsearch, LoadBalancer, PostgresCluster,
      RabbitMQ, RedisInstance, Release, Service
""",
    ),
    "internal kind": (
        "apiVersion: psa.platform/v1\nkind: TrafficSplit\nmetadata: {name: x}\nspec: {}\n",
        """
web.yaml:2:7: error: kind: a TrafficSplit cannot be declared in a file
  2 | kind: TrafficSplit
    |       ^^^^^^^^^^^^
    = it is made by the object that owns it; files declare: Container,
      Elasticsearch, LoadBalancer, PostgresCluster, RabbitMQ, RedisInstance,
      Release, Service
""",
    ),
    "other program's file": (
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x, namespace: y}\ndata: {}\n",
        """
web.yaml:1:1: error: the field "spec" is missing
  1 | apiVersion: v1
    | ^
    = add what is asked for under spec:
web.yaml:1:13: error: apiVersion: "v1" is not allowed
  1 | apiVersion: v1
    |             ^^
    = allowed: psa.platform/v1
web.yaml:2:7: error: kind: there is no kind "ConfigMap" in this version
  2 | kind: ConfigMap
    |       ^^^^^^^^^
    = allowed: Container, Elasticsearch, LoadBalancer, PostgresCluster,
      RabbitMQ, RedisInstance, Release, Service
web.yaml:3:21: error: metadata: there is no field "namespace"
  3 | metadata: {name: x, namespace: y}
    |                     ^^^^^^^^^
    = allowed: annotations, labels, name
web.yaml:4:1: error: there is no field "data"
  4 | data: {}
    | ^^^^
    = did you mean "metadata"?
    = allowed: apiVersion, kind, metadata, spec
""",
    ),
    "status in a file": (
        container("") + "status: {state: running}\n",
        """
web.yaml:9:1: error: the field "status" is reported, not declared
  9 | status: {state: running}
    | ^^^^^^
    = leave it out
""",
    ),
    "no object at all": (
        "cores: 2\nmemory: 4Gi\n",
        """
web.yaml:1:1: error: an object is needed, found a mapping
  1 | cores: 2
    | ^
    = an object has the fields apiVersion, kind, metadata, spec
""",
    ),
    "names with spaces": (
        HEAD.replace("Container", "LoadBalancer")
        + "spec:\n  endpoint: edge\n  backends:\n    web;x:\n      servers: {a b: {weight: 300}}\n",
        """
web.yaml:7:5: error: spec.backends: the name "web;x" is not allowed
  7 |     web;x:
    |     ^^^^^
    = allowed: letters, digits and _ . : -, from 1 to 64 characters
web.yaml:8:17: error: spec.backends.web;x.servers: the name "a b" is not allowed
  8 |       servers: {a b: {weight: 300}}
    |                 ^^^
    = allowed: letters, digits and _ . : -, from 1 to 64 characters
web.yaml:8:31: error: spec.backends.web;x.servers.a b.weight: 300 is too large: at most 256 is allowed
  8 |       servers: {a b: {weight: 300}}
    |                               ^^^
""",
    ),
    "wide characters": (
        container("  description: 容器 容器\n  startup: {order: 容器, up: 5}\n"),
        """
web.yaml:10:20: error: spec.startup.order: a whole number is needed, found "容器"
 10 |   startup: {order: 容器, up: 5}
    |                    ^^^^
web.yaml:10:28: error: spec.startup.up: 5 is not allowed
 10 |   startup: {order: 容器, up: 5}
    |                              ^
    = a duration with its unit is needed: ms, s, m, h or d, such as 30s or 10m
""",
    ),
    "fields that contradict each other": (
        redis("  replication: {role: primary, replicaOf: '10.0.0.1:6379'}\n"),
        """
web.yaml:6:3: error: spec.replication: a primary is nobody's replica: leave out role or replicaOf
  6 |   replication: {role: primary, replicaOf: '10.0.0.1:6379'}
    |   ^^^^^^^^^^^
""",
    ),
    "a sentence that begins with its field": (
        postgres("  replication:\n    standbys:\n      db-2: {slot: two, user: r, password: r}\n"),
        """
web.yaml:8:20: error: spec.replication.standbys.db-2.slot: two is not among the slots
  8 |       db-2: {slot: two, user: r, password: r}
    |                    ^^^
""",
    ),
    "a sentence that begins with a group of fields": (
        postgres("  roles:\n    a: {memberOf: [b]}\n    b: {memberOf: [a]}\n"),
        """
web.yaml:6:3: error: spec.roles: memberOf goes round in a circle from a, b
  6 |   roles:
    |   ^^^^^
""",
    ),
    "long line": (
        container(f"  tags: [{', '.join(f'tag-{n}' for n in range(40))}, Bad, more, and, more]\n"),
        """
web.yaml:9:320: error: spec.tags[40]: "Bad" is not allowed
  9 | …ag-35, tag-36, tag-37, tag-38, tag-39, Bad, more, and, more]
    |                                         ^^^
    = allowed: small letters, digits and _ . + -, 61 at most
""",
    ),
}


@pytest.mark.parametrize(("text", "expected"), GOLDEN.values(), ids=GOLDEN)
def test_the_error_reads_as_agreed(text: str | bytes, expected: str) -> None:
    assert rendered(text) == expected.strip("\n")


def test_the_rendered_lines_fit_into_80_columns_but_for_long_headers() -> None:
    for text, _ in GOLDEN.values():
        for line in rendered(text).splitlines():
            assert len(line) <= 80 or ": error: " in line


def test_no_error_speaks_of_python_or_pydantic() -> None:
    for text, _ in GOLDEN.values():
        for word in ("Input", "pydantic", "http", "str ", "dict", "None", "Value error", "valid"):
            assert word not in rendered(text)


def patterns(schema: object) -> set[str]:
    if isinstance(schema, dict):
        own = (
            {schema["pattern"]}
            if isinstance(schema.get("pattern"), str) and "examples" not in schema
            else set()
        )
        return own.union(*(patterns(value) for value in schema.values()))
    if isinstance(schema, list):
        return set().union(*(patterns(value) for value in schema))
    return set()


@pytest.mark.parametrize("model", [Metadata, *FILE_KINDS.values()], ids=lambda model: model.__name__)
def test_every_pattern_of_the_models_has_words(model: type[Metadata]) -> None:
    found = patterns(model.model_json_schema(by_alias=True))
    assert found
    assert found <= PATTERNS.keys(), "give the new pattern a sentence in daemon/sources/wording.py"


def test_a_file_with_hundreds_of_mistakes_tells_fifty_and_counts_the_rest() -> None:
    lines = "".join(f"  wrong{n}: 1\n" for n in range(200))
    problems = content_of(container(lines)).problems
    assert len(problems) == 50
    assert problems[-1].rendered.endswith("and 150 more errors in this file")


def test_escape_sequences_of_a_file_never_reach_the_terminal() -> None:
    text = rendered(container('  hostname: "\\e[31mred\\u202e"\n  node: \u202epve\n'))
    assert "\x1b" not in text
    assert "\u202e" not in text
