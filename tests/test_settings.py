"""Settings: every default runs, and a child sees nobody else's Prefect."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from roundsman import settings as module
from roundsman.errors import Mistake
from roundsman.settings import Settings, environment, get_settings


@pytest.fixture(autouse=True)
def _fresh_settings(monkeypatch):
    for name in [n for n in os.environ if n.startswith("ROUNDSMAN_")]:
        monkeypatch.delenv(name)
    get_settings.cache_clear()
    yield
    get_settings.cache_clear()


def test_every_default_runs():
    settings = get_settings()
    assert settings.home == Path("~/.roundsman").expanduser()
    assert settings.ledger_url == f"sqlite:///{settings.home}/ledger.db"
    assert settings.chain_key == settings.home / "keys" / "chain.key"
    assert settings.anchor == settings.home / "anchors.jsonl"
    assert settings.systems == settings.home / "systems.yaml"
    assert settings.rounds.name == "prefect.yaml"
    assert settings.execute == "here"


def test_all_places_follow_home(monkeypatch, tmp_path):
    monkeypatch.setenv("ROUNDSMAN_HOME", str(tmp_path))
    settings = get_settings()
    places = (settings.chain_key, settings.anchor, settings.artifacts, settings.prefect_home)
    assert all(place.is_relative_to(tmp_path) for place in places)


def test_a_relative_home_is_made_absolute(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert Settings(home=Path("x")).home == tmp_path / "x"


def test_settings_are_frozen():
    with pytest.raises(ValidationError):
        get_settings().org_id = "other"


def test_a_bad_value_names_its_variable(monkeypatch):
    monkeypatch.setenv("ROUNDSMAN_EXECUTE", "elsewhere")
    with pytest.raises(Mistake, match="ROUNDSMAN_EXECUTE"):
        get_settings()


def test_an_empty_variable_counts_as_unset(monkeypatch):
    monkeypatch.setenv("ROUNDSMAN_DATABASE_URL", "")
    assert get_settings().database_url is None


def test_a_child_sees_no_foreign_prefect(monkeypatch, tmp_path):
    monkeypatch.setenv("PREFECT_API_URL", "https://example.com/api")
    monkeypatch.setenv("PREFECT_API_KEY", "theirs")
    monkeypatch.setenv("PREFECT_PROFILE", "production")
    seen = Settings(home=tmp_path).child_environment()
    assert "PREFECT_API_URL" not in seen
    assert "PREFECT_API_KEY" not in seen
    assert "PREFECT_PROFILE" not in seen
    assert seen["PREFECT_HOME"] == str(tmp_path / "prefect")
    assert seen["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"
    assert ":memory:" in seen["PREFECT_SERVER_DATABASE_CONNECTION_URL"]


def test_a_child_has_the_same_settings_as_its_parent(monkeypatch, tmp_path):
    given = Settings(
        home=tmp_path, org_id="acme", step_threads=3, prefect_auth="u:p", user_email="a@b.c"
    )
    for name, value in given.child_environment().items():
        monkeypatch.setenv(name, value)
    assert Settings() == given


def test_an_explicit_address_reaches_the_child_with_its_password(tmp_path):
    given = Settings(home=tmp_path, prefect_api_url="http://prefect:4200/api", prefect_auth="u:p")
    seen = given.child_environment()
    assert seen["PREFECT_API_URL"] == "http://prefect:4200/api"
    assert seen["PREFECT_API_AUTH_STRING"] == "u:p"


def _tell_server(settings: Settings, **told: object) -> None:
    settings.server_file.parent.mkdir(parents=True, exist_ok=True)
    settings.server_file.write_text(json.dumps(told))


def test_a_running_server_of_ours_is_found(tmp_path):
    settings = Settings(home=tmp_path)
    started = module.process_started(os.getpid())
    _tell_server(settings, url="http://127.0.0.1:1/api", pid=os.getpid(), started=started)
    assert settings.prefect_url() == "http://127.0.0.1:1/api"


def test_a_dead_server_is_not_spoken_to(tmp_path):
    settings = Settings(home=tmp_path)
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    _tell_server(settings, url="http://127.0.0.1:1/api", pid=ended.pid)
    assert settings.prefect_url() is None


def test_a_reused_process_number_is_told_apart(tmp_path):
    settings = Settings(home=tmp_path)
    _tell_server(settings, url="http://127.0.0.1:1/api", pid=os.getpid(), started="1")
    assert settings.prefect_url() is None


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"url": "x", "pid": "y"}'])
def test_a_broken_server_file_means_no_server(tmp_path, text):
    settings = Settings(home=tmp_path)
    settings.server_file.parent.mkdir(parents=True)
    settings.server_file.write_text(text)
    assert settings.prefect_url() is None


def test_choosing_a_home_moves_this_process_and_its_children(monkeypatch, tmp_path):
    monkeypatch.setenv("ROUNDSMAN_HOME", "/nowhere")
    module.choose_home(tmp_path / "there")
    assert get_settings().home == tmp_path / "there"
    assert environment()["ROUNDSMAN_HOME"] == str(tmp_path / "there")


def test_foreign_prefect_variables_are_named(monkeypatch):
    monkeypatch.setenv("PREFECT_PROFILE", "production")
    assert "PREFECT_PROFILE" in module.foreign_prefect()


def test_a_secret_is_not_shown(tmp_path):
    assert "hunter2" not in repr(Settings(home=tmp_path, prefect_auth="u:hunter2"))


def test_a_run_learns_neither_whom_commands_ask_nor_with_which_key(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ROUNDSMAN_REMOTE", "https://roundsman.example.org")
    monkeypatch.setenv("ROUNDSMAN_API_KEY", "rk_not_for_agents")
    settings = Settings(home=tmp_path)
    assert settings.remote == "https://roundsman.example.org"
    left = settings.child_environment()
    assert not {"ROUNDSMAN_REMOTE", "ROUNDSMAN_API_KEY"} & left.keys()
    assert left["ROUNDSMAN_HOME"] == str(tmp_path)


@pytest.mark.parametrize("url", ["https://rounds.example.org/base", "http://[::1]:8080"])
def test_the_public_address_can_stand_in_a_message(url: str) -> None:
    assert Settings(public_url=url).public_url == url


@pytest.mark.parametrize("url", ["rounds.example.org", "https://a b", "https://x/<b>", "https://ü"])
def test_a_public_address_that_no_message_could_carry_is_refused(url: str) -> None:
    with pytest.raises(ValidationError):
        Settings(public_url=url)
