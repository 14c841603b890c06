"""Files are written whole, inside their agent's folder, or not at all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from roundsman.errors import Mistake, Refused, Unready
from roundsman.store.artifacts import ArtifactStore, prepare, prepare_json
from tests.store.words import ROOT

AGENT = "warehouse_health"


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path, "default")


@pytest.mark.covers("A-079", "A-081", "A-083")
def test_a_file_is_written_below_its_agent_and_read_again(
    store: ArtifactStore, tmp_path: Path
) -> None:
    path = store.write("report_2025-10-17_103045.md", "# Fine\n", AGENT)
    expected = tmp_path / "default" / "agent" / "artifacts" / AGENT / "report_2025-10-17_103045.md"
    assert path == expected
    assert store.read("report_2025-10-17_103045.md", AGENT) == "# Fine\n"
    store.write("report_2025-10-17_103045.md", "# Other\n", AGENT)
    assert path.read_text() == "# Other\n"
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


@pytest.mark.covers("A-080")
def test_json_is_indented_and_redacted(store: ArtifactStore) -> None:
    path = store.write_json("a/b.json", {"é": 1, "password": "x", "at": Path("/x")}, AGENT)
    assert json.loads(path.read_text()) == {"é": 1, "password": "***", "at": "/x"}
    assert path.read_text().endswith("\n")


def test_text_is_redacted_and_bytes_are_left_alone(store: ArtifactStore) -> None:
    store.write("a.md", "see https://u:hunter22@h/", AGENT)
    assert store.read("a.md", AGENT) == "see https://u:***@h/"
    store.write("a.png", b"\x89PNG\xff", AGENT)
    assert store.read_bytes("a.png", AGENT) == b"\x89PNG\xff"


def test_what_is_told_before_is_what_is_written(store: ArtifactStore) -> None:
    content = prepare("password=hunter22")
    path = store.put("a.md", content, AGENT)
    assert path.stat().st_size == content.bytes
    assert prepare(path.read_bytes()).sha256 == content.sha256
    assert prepare_json({"b": 1}).data == b'{\n  "b": 1\n}\n'


@pytest.mark.covers("A-082", "A-084")
def test_files_are_listed_by_pattern(store: ArtifactStore) -> None:
    for name in ("b.json", "a.json", "report.md", "deep/c.json"):
        store.write(name, "{}", AGENT)
    assert store.list_files(AGENT, pattern="*.json") == ["a.json", "b.json"]
    assert store.list_files(AGENT, pattern="**/*.json") == ["a.json", "b.json", "deep/c.json"]
    assert store.list_files(AGENT) == ["a.json", "b.json", "report.md"]
    assert store.entries(AGENT, "report.md")[0].bytes == 2
    assert store.list_files("inbox_triage") == []
    assert store.agents() == [AGENT]


@pytest.mark.parametrize(
    "path",
    ["../x", "/etc/passwd", "a/../../x", "", ".", "..", "a\\b", "a\x00b", ".hidden", "x" * 201],
)
def test_a_path_that_leaves_its_folder_is_refused(store: ArtifactStore, path: str) -> None:
    for act in (
        lambda: store.write(path, "x", AGENT),
        lambda: store.write_json(path, {}, AGENT),
        lambda: store.read(path, AGENT),
    ):
        with pytest.raises(Mistake, match="leaves the folder of 'warehouse_health'"):
            act()


@pytest.mark.parametrize("name", ["../other", "", "a/b", ".", "..", "/x"])
def test_an_agent_or_org_that_is_no_folder_name_is_refused(
    store: ArtifactStore, tmp_path: Path, name: str
) -> None:
    with pytest.raises(Mistake, match="cannot be a folder's name"):
        store.write("a.md", "x", name)
    with pytest.raises(Mistake, match="cannot be a folder's name"):
        ArtifactStore(tmp_path, name)


@pytest.mark.parametrize("pattern", ["../*", "/etc/*", "a/../../*", ""])
def test_a_pattern_that_leaves_its_folder_is_refused(store: ArtifactStore, pattern: str) -> None:
    store.write("a.md", "x", AGENT)
    with pytest.raises(Mistake, match="leaves the folder"):
        store.list_files(AGENT, pattern)


def test_a_link_out_of_the_folder_is_neither_followed_nor_listed(
    store: ArtifactStore, tmp_path: Path
) -> None:
    folder = store.write("a.md", "x", AGENT).parent
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key").write_text("k")
    (folder / "out").symlink_to(tmp_path / "secret")
    (folder / "key").symlink_to(tmp_path / "secret" / "key")
    for act in (
        lambda: store.write("out/new", "x", AGENT),
        lambda: store.read("out/key", AGENT),
        lambda: store.read("key", AGENT),
    ):
        with pytest.raises(Mistake, match="leaves the folder"):
            act()
    assert store.list_files(AGENT) == ["a.md"]
    assert list((tmp_path / "secret").iterdir()) == [tmp_path / "secret" / "key"]


def test_a_missing_file_is_named_with_the_way_to_the_list(store: ArtifactStore) -> None:
    store.write("a/b.md", "x", AGENT)
    for missing in ("none.md", "a", "a/b.md/c"):
        with pytest.raises(Mistake, match="does not exist") as error:
            store.read(missing, AGENT)
        assert "roundsman artifacts warehouse_health" in error.value.remedy


def test_a_disk_that_is_full_leaves_the_old_file_and_no_rest(
    store: ArtifactStore, tmp_path: Path
) -> None:
    folder = store.write("a.md", "old", AGENT).parent
    code = (
        "import sys, resource, signal\nfrom pathlib import Path\n"
        "from roundsman.store.artifacts import ArtifactStore\n"
        "from roundsman.errors import Unready\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "store = ArtifactStore(Path(sys.argv[1]), 'default')\n"
        "try:\n    store.write('a.md', 'x' * 5000, sys.argv[2])\n"
        "except Unready as error:\n    print(error)\n"
    )
    out = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), AGENT],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert "could not be written" in out.stdout
    assert "free some space" in out.stdout
    assert [entry.name for entry in folder.iterdir()] == ["a.md"]
    assert store.read("a.md", AGENT) == "old"


def test_a_file_in_the_way_of_the_folder_is_refused(store: ArtifactStore) -> None:
    store.write("a", "x", AGENT)
    with pytest.raises((Refused, Unready), match="could not be written"):
        store.write("a/b", "x", AGENT)
