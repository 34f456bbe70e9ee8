import pytest

from lab.pve.message import ParamValue, Request
from tests.lab.pve_site import NET0, UNKNOWN, Site


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.mark.parametrize(
    ("params", "errors"),
    [
        ({"memory": "x"}, {"memory": "type check ('integer') failed - got 'x'"}),
        ({"onboot": "True"}, {"onboot": "type check ('boolean') failed - got 'True'"}),
        ({"memory": 8}, {"memory": "value must have a minimum value of 16"}),
        ({"hostname": "a_b"}, {"hostname": "invalid format - value does not look like a valid DNS name\n"}),
        ({"tags": "bad tag!"}, {"tags": "invalid format - invalid characters in tag\n"}),
        ({"env": "A=1"}, {"env": UNKNOWN}),
        ({"delete": "bogus"}, {"delete": "unknown option 'bogus'"}),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else None,
)  # fmt: skip
def test_parameters_are_checked_against_the_schema(
    site: Site, params: dict[str, ParamValue], errors: dict[str, str]
) -> None:
    answer = site.ask("PUT", site.created() + "/config", given=params)
    assert (answer.status, answer.reason) == (400, "Parameter verification failed.")
    assert answer.body is not None
    assert answer.body["errors"] == errors


def test_a_json_boolean_is_taken(site: Site) -> None:
    path = site.created()
    site.data("PUT", path + "/config", onboot=True)
    assert site.row(path + "/config")["onboot"] == 1


def test_version_9_has_an_environment_that_the_application_can_read() -> None:
    site = Site("9.2")
    site.started(env="A=1\0B=2")
    assert site.cluster.running()[0].env == ("A=1", "B=2")


def test_unknown_paths_are_not_implemented(site: Site) -> None:
    answer = site.ask("GET", "/nodes/pve1/nope")
    assert (answer.status, answer.reason) == (501, "Method 'GET /nodes/pve1/nope' not implemented")


def test_without_credentials_there_is_an_empty_401_three_seconds_later(site: Site) -> None:
    answer = site.cluster.handle(Request("GET", "/version"), site.now)
    assert (answer.status, answer.reason, answer.body, answer.delay_s) == (401, "No ticket", None, 3.0)


def test_a_ticket_lives_two_hours(site: Site) -> None:
    site.wait(2 * 3600 + 1)
    assert site.ask("GET", "/version").reason == "Authentication failed!"


def test_a_token_without_rights_sees_empty_lists_and_is_refused_elsewhere(site: Site) -> None:
    path = site.created()
    token = site.cluster.add_token("psa@pve", "t", "secret")
    assert site.rows("/nodes/pve1/lxc", token) == []
    assert site.rows("/nodes/pve1/tasks", token) == []
    assert site.data("GET", "/access/permissions", token) == {}
    refused = site.ask("GET", path + "/config", token)
    assert (refused.status, refused.reason) == (403, "Permission check failed (/vms/101, VM.Audit)")
    assert site.ask("POST", "/nodes/pve1/lxc", token, vmid=102, ostemplate=site.template).status == 403


def test_a_separated_token_has_what_it_and_its_user_have(site: Site) -> None:
    path = site.created()
    token = site.cluster.add_token("psa@pve", "t", "secret")
    site.cluster.allow("psa@pve!t", "/vms", "PVEVMAdmin")
    assert site.ask("GET", path + "/config", token).status == 403
    site.cluster.allow("psa@pve", "/vms", "PVEAuditor")
    assert site.ask("GET", path + "/config", token).status == 200
    assert site.ask("POST", path + "/status/start", token).status == 403


def test_a_token_with_the_rights_of_the_manual_creates_and_starts_a_container(site: Site) -> None:
    token = site.cluster.add_token("psa@pve", "t", "secret", privsep=False)
    for path, role in (
        ("/vms", "PVEVMAdmin"),
        ("/storage", "PVEDatastoreUser"),
        ("/sdn/zones", "PVESDNUser"),
    ):
        site.cluster.allow("psa@pve", path, role)
    wanted: dict[str, ParamValue] = {"vmid": 101, "ostemplate": site.template, "net0": NET0, "start": 1}
    assert site.exit_of(site.ask("POST", "/nodes/pve1/lxc", token, given=wanted)) == "OK"
    assert len(site.cluster.running()) == 1


def test_a_token_of_root_is_not_root(site: Site) -> None:
    path = site.created()
    token = site.cluster.add_token("root@pam", "t", "secret", privsep=False)
    refused = site.ask("PUT", path + "/config", token, mp0="/srv,mp=/srv")
    assert refused.reason == "Permission check failed (mount point type bind is only allowed for root@pam)"
