"""Every line of a log is one redacted JSON object that names its run."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from roundsman.errors import Mistake
from roundsman.log import (
    LogRotationConfig,
    async_log_context,
    configure_global_rotation,
    configure_logging,
    get_correlation_id,
    get_logger,
    log_context,
    set_correlation_id,
    set_global_correlation_id,
)


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root = logging.getLogger("roundsman")
    handlers, level, propagate = list(root.handlers), root.level, root.propagate
    yield
    for handler in [h for h in root.handlers if h not in handlers]:
        handler.close()
    root.handlers, root.propagate = handlers, propagate
    root.setLevel(level)
    set_correlation_id(None)
    set_global_correlation_id(None)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    configure_logging("DEBUG", tmp_path)
    return tmp_path


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "roundsman.log").read_text().splitlines()]


@pytest.mark.covers("E-084", "E-085", "E-086", "E-087")
def test_a_line_has_the_six_fields(folder: Path) -> None:
    set_correlation_id("run-1")
    log = get_logger("flows.warehouse_health", component="parity")
    log.info("compared", metadata={"days": 7})
    log.warning("differs")
    log.error("failed")
    log.critical("stopped")
    first, *rest = lines(folder)
    assert set(first) == {
        "timestamp",
        "level",
        "message",
        "correlation_id",
        "component",
        "metadata",
    }
    assert first["timestamp"].endswith("Z")
    assert first["metadata"] == {"days": 7}
    assert (first["component"], first["correlation_id"]) == ("parity", "run-1")
    assert [line["level"] for line in rest] == ["WARNING", "ERROR", "CRITICAL"]


@pytest.mark.covers("E-093")
def test_a_stack_is_added_and_redacted(folder: Path) -> None:
    try:
        raise ValueError("password=hunter22")
    except ValueError:
        get_logger("x").error("broke", exc_info=True)
    (line,) = lines(folder)
    assert "Traceback" in line["exception"]
    assert line["exception"].endswith("ValueError: password=***")


def test_secrets_are_in_no_part_of_a_line(folder: Path) -> None:
    class Odd:
        def __str__(self) -> str:
            return "https://u:hunter22@h"

    metadata = {"api_key": "hunter22", "deep": [{"url": "https://u:hunter22@h"}], "odd": Odd()}
    get_logger("x").info("sent Authorization: Bearer hunter22 100%", metadata=metadata)
    assert "hunter22" not in (folder / "roundsman.log").read_text()
    assert lines(folder)[0]["metadata"]["odd"] == "https://u:***@h"


@pytest.mark.covers("E-088", "E-089")
def test_an_id_belongs_to_its_task_and_is_cleared_on_exit(folder: Path) -> None:
    async def work(name: str) -> None:
        async with async_log_context(correlation_id=name):
            await asyncio.sleep(0)
            get_logger("x").info(name)
        assert get_correlation_id() is None

    async def both() -> None:
        await asyncio.gather(work("a"), work("b"))

    asyncio.run(both())
    assert {line["message"]: line["correlation_id"] for line in lines(folder)} == {
        "a": "a",
        "b": "b",
    }


@pytest.mark.covers("E-089")
def test_threads_have_their_own_id_and_else_the_global_one() -> None:
    set_global_correlation_id("everywhere")
    seen: list[str | None] = []

    def work() -> None:
        seen.append(get_correlation_id())
        with log_context("mine"):
            seen.append(get_correlation_id())

    set_correlation_id("here")
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == ["everywhere", "mine"]
    assert get_correlation_id() == "here"


@pytest.mark.covers("E-090")
def test_files_are_rotated_compressed_and_the_oldest_dropped(tmp_path: Path) -> None:
    configure_logging("INFO")
    config = LogRotationConfig(log_dir=tmp_path, max_bytes=2000, backup_count=3, compression=True)
    configure_global_rotation(config)
    log = get_logger("x")
    for number in range(200):
        log.info(f"line {number}")
    kept = sorted(path.name for path in tmp_path.glob("*.gz"))
    assert kept == [f"roundsman.log.{number}.gz" for number in (1, 2, 3)]
    with gzip.open(tmp_path / "roundsman.log.1.gz", "rt") as file:
        assert json.loads(file.readline())["message"].startswith("line ")
    assert lines(tmp_path)[-1]["message"] == "line 199"


def test_two_processes_share_a_rotated_file_and_lose_nothing(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom roundsman.log import *\n"
        "configure_logging('INFO')\n"
        "configure_global_rotation(LogRotationConfig(sys.argv[1], 20_000, 100, False))\n"
        "for n in range(300): get_logger('x').info(f'{sys.argv[2]} {n}')\n"
    )
    children = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path), name]) for name in "ab"
    ]
    assert [process.wait(60) for process in children] == [0, 0]
    found = [
        json.loads(line)["message"]
        for path in tmp_path.glob("roundsman.log*")
        if not path.name.endswith(".lock")
        for line in path.read_text().splitlines()
    ]
    assert sorted(found) == sorted(f"{name} {n}" for name in "ab" for n in range(300))


def test_a_folder_that_cannot_be_written_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(Mistake, match="log folder '.*file/logs' could not be written"):
        configure_global_rotation(LogRotationConfig(tmp_path / "file" / "logs"))


def test_a_quiet_logger_writes_nothing_below_its_level(tmp_path: Path) -> None:
    configure_logging("WARNING", tmp_path)
    get_logger("x").info("not said")
    get_logger("x").warning("said")
    assert [line["message"] for line in lines(tmp_path)] == ["said"]


def test_a_person_at_a_terminal_gets_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("INFO", log_format="console")
    get_logger("x").info("compared", metadata={"days": 7, "url": "https://u:hunter22@h"})
    error = capsys.readouterr().err
    assert error.rstrip().endswith("info compared days=7 url=https://u:***@h")
    get_logger("x").info("GET /\x1b[31m\x9b2Jx\u202ey\r", metadata={"of": "\x1b]0;t\x07"})
    error = capsys.readouterr().err
    assert error.rstrip("\n").endswith("info GET /[31m2Jxy\n of=]0;t")


def test_what_turns_or_hides_letters_is_escaped_in_a_line_and_not_lost(folder: Path) -> None:
    said = "GET /\x9b2J\u202ex\u2028\ufeff\x85ü\x7f"
    get_logger("x").info(said, metadata={"of": said})
    raw = (folder / "roundsman.log").read_text()
    assert not set(raw) & set("\x9b\u202e\u2028\ufeff\x85\x7f")
    assert "ü" in raw
    (line,) = lines(folder)
    assert (line["message"], line["metadata"]) == (said, {"of": said})


@pytest.mark.covers("E-091")
def test_the_sample_jq_queries_find_their_lines(folder: Path) -> None:
    jq = shutil.which("jq")
    set_correlation_id("run-1")
    get_logger("x", component="parity").error("one")
    set_correlation_id("run-2")
    get_logger("x", component="chart").info("two")
    by_id = [line for line in lines(folder) if line["correlation_id"] == "run-1"]
    assert [line["message"] for line in by_id] == ["one"]
    if jq is None:
        return
    for query, answer in {
        'select(.correlation_id == "run-1") | .message': '"one"',
        'select(.level == "ERROR" and .timestamp > "2020") | .message': '"one"',
        'select(.component == "chart") | .metadata': "{}",
    }.items():
        command = [jq, "-c", query, str(folder / "roundsman.log")]
        out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert out.strip() == answer
