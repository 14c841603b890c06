"""`history`, `show`, `cancel`, `watch`: what the terminal tells of what the ledger knows."""

import os
import pty
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

TODAY = datetime.now(UTC).date()


def test_an_empty_history_says_so(roundsman):
    said = roundsman("history")
    assert (said.code, said.out) == (0, "No runs.\n")
    assert roundsman("history", "--json").document == {"runs": [], "total": 0}


@pytest.mark.covers("A-033")
def test_history_has_the_fields_of_the_contract(roundsman, past):
    run_id = past.run(user_email="ann@example.com")
    document = roundsman("history", "--json").document
    assert document["total"] == 1
    row = document["runs"][0]
    names = "id agent_type objective status user_email started_at completed_at duration_seconds"
    assert set(names.split()) <= set(row)
    assert row["run_id"] == run_id
    assert row["started_at"].endswith("Z")


@pytest.mark.covers("A-034", "G-A1")
def test_history_filters(roundsman, past):
    failed = past.run("failed", error={"type": "ProviderError", "message": "down"})
    other = past.run(agent="inbox_triage", user_email="ann@example.com")
    past.run()

    def found(*words: str) -> list[str]:
        return [row["run_id"] for row in roundsman("history", "--json", *words).document["runs"]]

    assert found("--status", "failed") == [failed]
    assert found("--status", "failed,success", "--agent", "inbox_triage") == [other]
    assert found("--user-email", "ann@example.com") == [other]
    assert len(found("--start-date", str(TODAY - timedelta(1)), "--end-date", str(TODAY))) == 3
    assert found("--end-date", str(TODAY - timedelta(2))) == []
    assert found("--limit", "1", "--offset", "1") == [other]


def test_a_wrong_status_lists_the_known_ones(roundsman):
    said = roundsman("history", "--status", "done")
    assert said.code == 2
    assert "unknown status 'done'" in said.err
    assert "crashed" in said.err


def test_history_says_how_to_see_more(roundsman, past):
    past.run()
    past.run()
    assert "more: --offset 1" in roundsman("history", "--limit", "1").out


def test_show_tells_steps_times_verdict_gaps_and_events(roundsman, past):
    summary = {
        "checks_passed": 2,
        "total_checks": 3,
        "issues": [
            {
                "type": "parity",
                "severity": "high",
                "message": "37 rows are missing",
                "reasons": [{"signal": "difference_percent", "value": 13.2, "threshold": 5.0}],
            }
        ],
    }
    gaps = [{"step": "query_bq_daily", "said": "table 'x' missing", "remedy": "name it"}]
    run_id = past.run(verdict="degraded", artifacts={"summary": summary, "gaps": gaps})
    said = roundsman("show", run_id[:8])
    assert said.code == 0
    for words in (
        "success  degraded",
        run_id,
        "query_es_daily",
        "0.25",
        "2 of 3 passed",
        "37 rows are missing",
        "difference_percent 13.2 (threshold 5.0)",
        "table 'x' missing",
        "run_started",
        "run_finished",
    ):
        assert words in said.out, words


def test_show_as_json_has_steps_and_events(roundsman, past):
    document = roundsman("show", past.run(), "--json").document
    assert [step["name"] for step in document["steps"]] == ["query_es_daily"]
    assert document["events"][0]["kind"] == "run_queued"


def test_a_failed_run_shows_its_error_and_its_step(roundsman, past):
    error = {"type": "ProviderError", "message": "search is down", "step": "query_es_daily"}
    said = roundsman("show", past.run("failed", error=error))
    assert "ProviderError in step query_es_daily: search is down" in said.out


@pytest.mark.covers("A-112")
def test_a_refused_run_can_be_shown(roundsman, past):
    said = roundsman("show", past.refused("'windw_days' is no parameter"))
    assert "refused" in said.out
    assert "'windw_days' is no parameter" in said.out


def test_an_unknown_run_is_one_sentence(roundsman, past):
    said = roundsman("show", "abcdef12")
    assert said.code == 2
    assert "abcdef12" in said.err
    assert "Traceback" not in said.err


def test_with_json_an_error_is_a_document_too(roundsman):
    said = roundsman("show", "abcdef12", "--json")
    assert said.code == 2
    assert "abcdef12" in said.document["error"]


def test_cancel_leaves_a_wish_in_the_ledger(roundsman, past):
    run_id = past.run("running")
    assert roundsman("cancel", run_id[:8]).code == 0
    assert "cancel_requested" in roundsman("show", run_id).out


def test_a_run_that_has_ended_is_not_cancelled(roundsman, past):
    said = roundsman("cancel", past.run())
    assert said.code == 2
    assert "has ended as success" in said.err


def test_watch_of_a_run_that_has_ended_tells_it_and_its_code(roundsman, past):
    said = roundsman("watch", past.run("failed", error={"type": "X", "message": "gone"}))
    assert said.code == 1
    assert "query_es_daily" in said.out
    assert "run failed" in said.out
    assert roundsman("watch", past.run()).code == 0


def test_retry_of_a_success_is_refused(roundsman, past):
    said = roundsman("retry", past.run())
    assert said.code == 2
    assert "nothing to retry" in said.err


def test_retry_of_a_working_run_is_refused(roundsman, past):
    said = roundsman("retry", past.run("running"))
    assert said.code == 2
    assert "still running" in said.err


def test_too_short_an_id_is_told_how_long_it_must_be(roundsman, past):
    said = roundsman("show", past.run()[:4])
    assert said.code == 2
    assert "at least 6 characters" in said.err


def test_history_of_an_unknown_agent_lists_the_known_ones(roundsman, past):
    past.run()
    said = roundsman("history", "--agent", "nosuch")
    assert said.code == 2
    assert "warehouse_health" in said.err
    assert roundsman("history", "--agent", "seed_sample").code == 0


def test_a_long_sentence_ends_with_an_ellipsis_on_a_terminal():
    master, slave = pty.openpty()
    draw = "table(('A', 'SAID'), [('b', 'word ' * 60)], 'SAID')"
    told = [sys.executable, "-c", f"from roundsman.cli.present import table; {draw}"]
    narrow = os.environ | {"COLUMNS": "80", "TERM": "xterm"}
    with subprocess.Popen(told, stdout=slave, env=narrow) as process:
        os.close(slave)
        said = b""
        # A terminal gives what was written so far, which may be the first line alone.
        while said.count(b"\n") < 2:
            said += os.read(master, 10_000)
        _, line = said.decode().splitlines()
    os.close(master)
    assert process.returncode == 0
    assert line.endswith("…")


def test_watch_as_json_is_the_document_that_run_prints(roundsman, past):
    run_id = past.run("failed", error={"type": "X", "message": "gone"})
    said = roundsman("watch", run_id, "--json")
    assert said.code == 1
    assert said.document["run_id"] == run_id
    assert said.document["error"]["message"] == "gone"


def test_show_counts_retries_and_not_first_tries(roundsman, past):
    lines = roundsman("show", past.run(), "--no-events").out.splitlines()
    header, line = (words for words in lines if "STEP" in words or " 0.25 " in words)
    assert header.split() == ["STEP", "STATUS", "CALLS", "SECONDS", "RETRIES", "SAID"]
    assert line.split() == ["query_es_daily", "success", "1", "0.25", "0", "-"]


def test_a_skipped_step_was_neither_called_nor_retried(roundsman, past):
    from roundsman.store import runs
    from roundsman.store.records import StepSkip

    run_id = past.run("running")
    skip = StepSkip(index=1, name="write_search", reason="dry_run")
    runs.skip_step(past.ledger, past.org, run_id, 1, skip)
    line = next(words for words in roundsman("show", run_id).out.splitlines() if "write_" in words)
    assert line.split()[:5] == ["write_search", "skipped", "-", "-", "-"]


def test_a_run_that_never_began_has_no_page_to_offer(past, capsys):
    from roundsman.cli.ledger import open_memory
    from roundsman.cli.summary import print_ended
    from roundsman.settings import Settings

    memory = open_memory()
    settings = Settings(home=memory.settings.home, prefect_api_url="http://127.0.0.1:9/api")
    print_ended(memory.run(past.run("queued")), [], settings)
    assert "127.0.0.1:9" not in capsys.readouterr().out
    print_ended(memory.run(past.run()), [], settings)
    assert "127.0.0.1:9/runs" in capsys.readouterr().out


def test_one_step_is_not_many():
    from roundsman.cli.present import count

    assert [count(number, "step") for number in (0, 1, 2)] == ["0 steps", "1 step", "2 steps"]


def test_a_list_that_is_piped_has_one_whole_line_a_run(roundsman, past):
    objective = "look at " + "every mail of the winter " * 20
    past.run(objective=objective)
    title, line = roundsman("history").out.splitlines()
    assert title.startswith("RUN")
    assert objective.strip() in line


def test_what_others_wrote_neither_colours_the_screen_nor_turns_letters_round(roundsman, past):
    error = {"type": "ProviderError", "message": "\x1b[31mgo\u202eod\x9b"}
    run_id = past.run("failed", error=error)
    for words in (("history",), ("show", run_id)):
        said = roundsman(*words)
        assert not {"\x1b", "\u202e", "\x9b"} & set(said.out)
        assert "[31mgood" in said.out


def test_the_small_results_of_an_agent_of_ones_own_are_shown(roundsman, past):
    many = {f"z{number}": number for number in range(30)}
    run_id = past.run(artifacts={"newest": "2026-05-04", "rows": [1], "long": "x" * 500, **many})
    out = roundsman("show", run_id).out
    assert "Results\n  newest: 2026-05-04\n  z0: 0\n" in out
    assert "and 11 more, in --json" in out
    assert "rows" not in out
    assert "x" * 500 not in out
