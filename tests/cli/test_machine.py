"""`init` and `doctor`: a first file that works, and a look that says what to mend."""

import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from threading import Thread

import pytest

from roundsman.cli.doctor import look_at_systems, look_here
from roundsman.settings import Settings, get_settings
from roundsman.store.approvals import Review, halt
from tests.store.permits import live, propose


def checks(settings: Settings) -> dict[str, str]:
    return {check.name: check.state for check in look_here(settings)}


@pytest.fixture
def prefect_like():
    """A server that says which Prefect it is, and keeps what was asked."""
    seen: list[str] = []

    class Answer(BaseHTTPRequestHandler):
        says = version("prefect")

        def do_GET(self) -> None:
            seen.append(self.path)
            body = json.dumps(type(self).says).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/api", Answer, seen
    server.shutdown()
    server.server_close()


def test_init_writes_a_file_that_explains_itself(roundsman, home):
    assert roundsman("init").code == 0
    text = (home / "systems.yaml").read_text()
    assert "kind: elasticsearch" in text
    assert "sandbox: true" in text


def test_what_init_writes_is_valid(roundsman, home):
    from blocks.systems import read_systems

    roundsman("init")
    assert [s.where for s in read_systems(home / "systems.yaml").all()] == [
        "search.local",
        "warehouse.local",
        "notify.local",
    ]


def test_init_never_overwrites(roundsman, home):
    home.mkdir()
    (home / "systems.yaml").write_text("mine")
    said = roundsman("init", "--json")
    assert said.document["written"] is False
    assert (home / "systems.yaml").read_text() == "mine"


def test_a_fresh_home_lacks_only_its_systems(roundsman, home):
    found = checks(get_settings())
    assert found["home"] == found["ledger"] == found["chain key"] == found["prefect"] == "ok"
    assert found["systems"] == "problem"
    said = roundsman("doctor")
    assert said.code == 1
    assert "roundsman init" in said.out


def test_a_key_that_others_may_read_is_told_and_closed(home):
    checks(get_settings())
    get_settings().chain_key.chmod(0o644)
    assert checks(get_settings())["chain key"] == "warning"
    assert checks(get_settings())["chain key"] == "ok"


@pytest.mark.parametrize(
    ("policy", "state", "words"),
    [
        (None, "ok", "the default has"),
        ("version: 1\nrules: [", "problem", "line 2"),
        (
            "version: 1\nrules: [{id: a, verdict: ask, actions: [sned]}]",
            "warning",
            "is for 'sned', which no block of ours does",
        ),
    ],
)
def test_the_policy_is_read_and_looked_through(home, policy, state, words):
    home.mkdir()
    if policy is not None:
        (home / "policy.yaml").write_text(policy)
    told = [check for check in look_here(get_settings()) if check.name == "policy"]
    assert told[-1].state == state
    assert words in told[-1].said


def test_a_stop_and_a_request_that_waits_are_told(home, past):
    assert {"actions", "approvals"}.isdisjoint(checks(get_settings()))
    propose(past.ledger, live(past.ledger), verdict="ask")
    halt(past.ledger, past.org, Review("ada@example.com", "a migration"))
    told = {check.name: check for check in look_here(get_settings())}
    assert told["actions"].said == "all are stopped by ada@example.com: a migration"
    assert told["approvals"].said == "1 action waiting for a person's answer"
    assert told["actions"].state == told["approvals"].state == "warning"


def test_a_home_that_is_a_file_is_a_problem(tmp_path):
    (tmp_path / "home").write_text("")
    assert checks(Settings(home=tmp_path / "home"))["home"] == "problem"


def test_variables_of_another_prefect_are_said_to_be_ignored(home, monkeypatch):
    monkeypatch.setenv("PREFECT_API_URL", "https://api.prefect.example/api")
    assert checks(get_settings())["environment"] == "warning"


def test_a_profile_of_another_prefect_is_said_to_be_ignored(home, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".prefect").mkdir()
    (tmp_path / ".prefect" / "profiles.toml").write_text('active = "production"\n')
    assert checks(get_settings())["profile"] == "warning"


def test_a_server_of_the_same_version_is_well(home, prefect_like):
    url, _, seen = prefect_like
    settings = Settings(home=home, prefect_api_url=url)
    assert checks(settings)["prefect"] == "ok"
    assert seen == ["/api/admin/version"]


def test_a_server_of_another_version_is_a_warning(home, prefect_like):
    url, answer, _ = prefect_like
    answer.says = "2.0.0"
    assert checks(Settings(home=home, prefect_api_url=url))["prefect"] == "warning"


def test_a_server_that_does_not_answer_is_a_problem(home):
    settings = Settings(home=home, prefect_api_url="http://127.0.0.1:9/api")
    assert checks(settings)["prefect"] == "problem"


def test_a_server_elsewhere_may_be_somebodys_production(home):
    settings = Settings(home=home, prefect_api_url="http://prefect.invalid:4200/api")
    assert checks(settings)["prefect address"] == "warning"


def test_doctor_as_json_is_one_document(roundsman, home):
    document = roundsman("doctor", "--json", "--no-systems").document
    assert document["ok"] is False
    assert {check["name"] for check in document["checks"]} >= {"home", "ledger", "prefect"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_home_without_a_right_to_write_is_a_problem(tmp_path):
    (tmp_path / "home").mkdir(mode=0o500)
    assert checks(Settings(home=tmp_path / "home"))["home"] == "problem"


def test_systems_that_are_a_folder_are_said_to_be_one(home):
    (home / "systems.yaml").mkdir(parents=True)
    check = next(check for check in look_here(get_settings()) if check.name == "systems")
    assert check.state == "problem"
    assert "is a folder" in check.said


@pytest.mark.engine
@pytest.mark.parametrize(
    ("content", "said", "remedy"),
    [
        ("", "declares no system", "docs/guides/connect.md"),
        ("search: [\n", "systems.yaml' in line 2", "correct the YAML"),
    ],
)
def test_what_is_wrong_with_the_systems_is_said_once_and_with_its_remedy(
    home, prefect_server, monkeypatch, content, said, remedy
):
    home.mkdir()
    (home / "systems.yaml").write_text(content)
    monkeypatch.setenv("ROUNDSMAN_PREFECT_API_URL", prefect_server.url)
    get_settings.cache_clear()
    found = [*look_here(get_settings()), *look_at_systems(get_settings())]
    about = [check for check in found if check.name == "systems"]
    assert [check.state for check in about] == ["problem"]
    assert said in about[0].said
    assert remedy in about[0].remedy
