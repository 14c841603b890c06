"""What holds for every command: quick help, one sentence for a mistake, known names."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = Path(sys.executable).with_name("roundsman")
# Typer itself reads arguments with pydantic: 20 ms.
SHOWN = (
    *("agents", "run", "watch", "cancel", "retry", "history", "show", "artifacts"),
    *("verify-audit", "migrate", "init", "doctor", "import"),
)
NOT_FOR_HELP = ("pydantic", "pydantic_settings", "sqlalchemy", "prefect", "rich", "yaml", "httpx")


def test_help_names_every_command(roundsman):
    said = roundsman("--help")
    assert said.code == 0
    for name in [
        "agents",
        "run",
        "watch",
        "cancel",
        "retry",
        "history",
        "show",
        "artifacts",
        "verify-audit",
    ]:
        assert name in said.out
    for name in ["migrate", "init", "doctor", "import"]:
        assert name in said.out
    assert "demo" not in said.out


@pytest.mark.parametrize("words", [["--help"], ["agents"], ["run", "--help"]])
def test_help_and_agents_load_nothing_heavy(words, tmp_path):
    """Loading pydantic-settings alone would take longer than everything else together."""
    code = (
        "import sys; sys.argv = ['roundsman', *sys.argv[1:]]\n"
        "from roundsman.cli import main\n"
        "try: main()\n"
        "except SystemExit: sys.stderr.write(' '.join(sys.modules))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, *words],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
        check=True,
    )
    loaded = {name.split(".")[0] for name in ended.stderr.split()}
    assert not loaded & set(NOT_FOR_HELP)


def test_a_wrong_command_lists_the_known_ones(roundsman):
    said = roundsman("histroy")
    assert said.code == 2
    assert "unknown command 'histroy'" in said.err
    assert "history" in said.err


def test_a_wrong_option_is_the_users_mistake(roundsman):
    said = roundsman("history", "--colour")
    assert said.code == 2
    assert "--colour" in said.err


def test_home_is_chosen_before_the_command(roundsman, tmp_path):
    said = roundsman("--home", str(tmp_path / "other"), "init")
    assert said.code == 0
    assert (tmp_path / "other" / "systems.yaml").exists()


def test_a_home_that_cannot_be_made_is_one_sentence(roundsman, tmp_path):
    (tmp_path / "file").write_text("")
    said = roundsman("--home", str(tmp_path / "file" / "inner"), "history")
    assert said.code in (1, 2)
    assert "file" in said.err
    assert "Traceback" not in said.err
    assert len(said.err.strip().splitlines()) == 1


def test_a_bad_setting_names_its_variable(roundsman, monkeypatch):
    from roundsman.settings import get_settings

    monkeypatch.setenv("ROUNDSMAN_STEP_THREADS", "many")
    get_settings.cache_clear()
    said = roundsman("history")
    assert said.code == 2
    assert "ROUNDSMAN_STEP_THREADS" in said.err


def test_the_real_command_completes_shells():
    ended = subprocess.run(
        [COMMAND, "--show-completion", "bash"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "roundsman" in ended.stdout


@pytest.mark.parametrize(
    "words",
    [
        ("history", "--colour", "--json"),
        ("history", "--json", "--limit", "many"),
        ("history", "--start-date", "yesterday", "--json"),
        ("--colour", "history", "--json"),
        ("show", "--json"),
    ],
)
def test_wrong_words_are_a_document_where_json_is_wanted(roundsman, words):
    said = roundsman(*words)
    assert said.code == 2
    assert said.document["type"] == "ValidationError"
    assert said.document["error"]


def test_without_json_wrong_words_leave_stdout_empty(roundsman):
    assert roundsman("history", "--json", "--colour").out
    assert roundsman("history", "--colour").out == ""


@pytest.mark.parametrize("words", [("init",), ("history",), ("run", "seed_sample")])
def test_a_home_that_is_a_file_is_told_alike_by_every_command(roundsman, tmp_path, words):
    (tmp_path / "file").write_text("")
    said = roundsman("--home", str(tmp_path / "file"), *words)
    assert said.code == 2
    assert f"folder '{tmp_path}/file' could not be made" in said.err
    assert "set ROUNDSMAN_HOME" in said.err


def test_usage_shows_arguments_as_they_are_typed(roundsman):
    for words in (("run",), ("show",), ("artifacts", "path"), ("import", "mail")):
        usage = roundsman(*words, "--help").out.splitlines()[0]
        assert not set("{}") & set(usage)
        assert "[[" not in usage


def test_bare_words_print_help(roundsman):
    said = roundsman()
    assert "Commands:" in said.out + said.err


def test_names_and_ids_are_offered_to_the_shell(past):
    from roundsman.cli.completion import names_to_run, runs_to_name

    run_id = past.run()
    assert "warehouse_health" in names_to_run("ware")
    assert names_to_run("nosuch") == []
    assert runs_to_name(run_id[:3]) == [(run_id[:8], "warehouse_health success")]
    assert runs_to_name("zz") == []


def test_an_unknown_name_is_not_explained_and_nothing_is_started(roundsman, home):
    said = roundsman("run", "nosuch", "--explain", "--json")
    assert said.code == 2
    assert "Invalid agent_type: 'nosuch'" in said.document["error"]
    assert not home.exists()


def test_help_names_what_is_to_be_typed_and_no_python_type(roundsman):
    for words in ((), ("run",), ("history",), ("keys", "create"), ("import", "mail"), ("erase",)):
        said = roundsman(*words, "--help").out
        assert not re.search(r"<\w+|\[\[", said), said
    assert "--limit N" in roundsman("history", "--help").out
    assert "dry and changes nothing" in " ".join(roundsman("run", "--help").out.split())
