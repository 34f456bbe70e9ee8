"""The admin console of a real pgBouncer that speaks TLS, and of one that does not."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from crds.meta import ConditionType, Truth
from lab.pgbouncer import LabPgbouncer
from lab.postgres import LabPostgres
from lab.users import give_away
from tests.builders_haproxy import verdict
from tests.builders_tls import Authority, make_authority, openssl
from tests.real_postgres import Driven, Site, a_cluster, a_site, driving
from tests.real_postgres_daemon import PRIMARY, a_daemon

CLUSTER = a_cluster(pooler={"settings": {"default_pool_size": 7}})


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with a_site() as site:
        site.primary()
        yield site


@pytest.fixture
def server(site: Site) -> LabPostgres:
    return site.servers[0]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("tls"))


def tls_pooler(site: Site, server: LabPostgres, certificate: Path, key: Path) -> LabPgbouncer:
    """Start a pooler that lets nobody in without TLS."""
    files = {}
    for name, source in (("cert", certificate), ("key", key)):
        file = site.folder / f"pooler-{len(site.poolers)}.{name}"
        file.write_text(source.read_text())
        file.chmod(0o600)
        give_away("postgres", file)
        files[f"client_tls_{name}_file"] = str(file)
    return site.pooler(server, settings={"client_tls_sslmode": "require", **files})


async def trouble(driven: Driven) -> tuple[str, str]:
    """Return reason and message of why the object is not Ready."""
    found = verdict(await driven.quiet(), ConditionType.READY)
    assert found is not None
    assert found.status is Truth.FALSE
    return found.reason, found.message


async def test_settings_are_kept_over_tls_and_it_is_tls_that_is_spoken(
    site: Site, server: LabPostgres, authority: Authority
) -> None:
    pooler = tls_pooler(site, server, authority.certificate, authority.key)
    async with driving(CLUSTER, {"one": server}, pooler=pooler, pooler_ca=authority.ca) as driven:
        plan = await driven.quiet()
        assert verdict(plan, ConditionType.READY) is None
        seen = await driven.poolers.look("psa-db")
        assert seen.settings["default_pool_size"].value == "7"
        assert seen.settings["client_tls_sslmode"].value == "require"


async def test_the_settings_name_the_authority(
    site: Site, server: LabPostgres, authority: Authority, tmp_path: Path
) -> None:
    pooler = tls_pooler(site, server, authority.certificate, authority.key)
    async with a_daemon(tmp_path, {PRIMARY: server}, pooler, authority.ca) as daemon:
        await daemon.declare({"endpoint": "psa-db", "pooler": {"settings": {"default_pool_size": 9}}})
        await daemon.wait_ready()


async def test_a_certificate_of_another_authority_is_refused(
    site: Site, server: LabPostgres, authority: Authority
) -> None:
    pooler = tls_pooler(site, server, authority.certificate, authority.key)
    ca = authority.stranger_certificate
    async with driving(CLUSTER, {"one": server}, pooler=pooler, pooler_ca=ca) as driven:
        reason, message = await trouble(driven)
    assert reason == "TlsFailed"
    assert "certificate verify failed" in message


async def test_a_certificate_of_another_name_is_refused(
    site: Site, server: LabPostgres, tmp_path: Path
) -> None:
    certificate, key = tmp_path / "other.pem", tmp_path / "other-key.pem"
    names = ("-addext", "subjectAltName=DNS:elsewhere.example")
    pair = ("-keyout", f"{key}", "-out", f"{certificate}", "-days", "2", "-nodes", "-newkey", "rsa:2048")
    openssl("req", "-x509", *pair, "-subj", "/CN=elsewhere", *names)
    pooler = tls_pooler(site, server, certificate, key)
    async with driving(CLUSTER, {"one": server}, pooler=pooler, pooler_ca=certificate) as driven:
        reason, message = await trouble(driven)
    assert reason == "TlsFailed"
    assert "does not match host name" in message


async def test_a_pooler_that_offers_no_tls_is_not_given_the_password(
    site: Site, server: LabPostgres, authority: Authority
) -> None:
    pooler = site.pooler(server)
    async with driving(CLUSTER, {"one": server}, pooler=pooler, pooler_ca=authority.ca) as driven:
        reason, message = await trouble(driven)
    assert reason == "TlsFailed"
    assert "does not support SSL" in message


async def test_a_pooler_that_wants_tls_says_so_to_who_speaks_none(
    site: Site, server: LabPostgres, authority: Authority
) -> None:
    pooler = tls_pooler(site, server, authority.certificate, authority.key)
    async with driving(CLUSTER, {"one": server}, pooler=pooler) as driven:
        reason, message = await trouble(driven)
    assert reason == "TlsFailed"
    assert "SSL required" in message


async def test_a_file_that_is_not_there_is_named(
    site: Site, server: LabPostgres, authority: Authority, tmp_path: Path
) -> None:
    pooler = tls_pooler(site, server, authority.certificate, authority.key)
    async with driving(CLUSTER, {"one": server}, pooler=pooler, pooler_ca=tmp_path / "gone.pem") as driven:
        reason, message = await trouble(driven)
    assert (reason, "gone.pem" in message) == ("TlsFailed", True)
