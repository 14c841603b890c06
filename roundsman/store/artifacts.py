"""Where the files of an org's agents are, and how they are written whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import secrets
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from roundsman.errors import Mistake, Refused, Unready
from roundsman.rules.redaction import redact, redact_text
from roundsman.store.chain import sync_folder

FILE_BYTES_MAX = 256 * 1024 * 1024
PATH_CHARACTERS_MAX = 200
LISTED_MAX = 10_000

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EMFILE})
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class ArtifactEntry(NamedTuple):
    """One file of an agent; `path` is relative to the agent's folder."""

    path: str
    bytes: int
    modified: float


class Content(NamedTuple):
    """What is about to be written: the redacted bytes and what identifies them."""

    data: bytes
    sha256: str

    @property
    def bytes(self) -> int:
        """The size."""
        return len(self.data)


class Draft(NamedTuple):
    """A file that lies whole beside its place; `publish` puts it there, and nothing else does."""

    path: str
    content: Content
    publish: Callable[[], Path]


class ArtifactStore:
    """Files below root/org/agent/artifacts/{agent_name}/."""

    def __init__(self, root: Path, org: str) -> None:
        if not _NAME.fullmatch(org):
            raise Mistake(f"org '{org}' cannot be a folder's name")
        self.folder = root / org / "agent" / "artifacts"

    def write(self, path: str, content: str | bytes, agent_name: str) -> Path:
        """Write a file whole, replacing one of the same name; text is redacted.

        Raises Mistake for a path that leaves the agent's folder, Unready for a full disk,
        Refused where the folder is not ours to write.
        """
        return self.put(path, prepare(content), agent_name)

    def write_json(self, path: str, data: Any, agent_name: str) -> Path:
        """Write data as indented JSON, redacted."""
        return self.put(path, prepare_json(data), agent_name)

    def put(self, path: str, content: Content, agent_name: str) -> Path:
        """Write content that was prepared, so that its hash could be told before."""
        with self.laid_aside(path, content, agent_name) as draft:
            return draft.publish()

    @contextmanager
    def laid_aside(self, path: str, content: Content, agent_name: str) -> Generator[Draft]:
        """Write content beside its place; what is not published inside the block is forgotten."""
        target = self.locate(path, agent_name)
        aside = target.with_name(f".{secrets.token_hex(8)}.part")

        def publish() -> Path:
            aside.replace(target)
            sync_folder(target.parent)
            return target

        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            self._stay_inside(target.parent, path, agent_name)
            try:
                _write_durably(aside, content.data)
                yield Draft(path, content, publish)
            finally:
                aside.unlink(missing_ok=True)
        except OSError as error:
            raise _unwritable(target, error) from error

    def read(self, path: str, agent_name: str) -> str:
        """Return a file's text; raises Mistake where there is none."""
        return self.read_bytes(path, agent_name).decode("utf-8", "replace")

    def read_bytes(self, path: str, agent_name: str) -> bytes:
        """Return a file's bytes, for pictures and downloads."""
        target = self.locate(path, agent_name)
        try:
            if target.stat().st_size > FILE_BYTES_MAX:
                raise Mistake(f"artifact '{path}' is larger than {FILE_BYTES_MAX} bytes")
            return target.read_bytes()
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
            raise Mistake(
                f"artifact '{path}' of '{agent_name}' does not exist",
                f"see 'roundsman artifacts {agent_name}'",
            ) from error
        except OSError as error:
            raise Refused(f"artifact '{target}' could not be read: {error.strerror}") from error

    def list_files(self, agent_name: str, pattern: str = "*") -> list[str]:
        """Return the paths of an agent's files that match, sorted by name."""
        return [entry.path for entry in self.entries(agent_name, pattern)]

    def entries(self, agent_name: str, pattern: str = "*") -> list[ArtifactEntry]:
        """Return an agent's files with size and time; a file that vanishes meanwhile is left out.

        `*` matches names at the top, `**/*` at any depth.
        """
        folder = self._agent(agent_name)
        if pattern.startswith("/") or ".." in PurePosixPath(pattern).parts or not pattern:
            raise Mistake(f"pattern '{pattern}' leaves the folder of '{agent_name}'")
        if not folder.is_dir():
            return []
        found: list[ArtifactEntry] = []
        for file in sorted(folder.glob(pattern))[:LISTED_MAX]:
            if file.is_file() and not file.name.startswith(".") and not file.is_symlink():
                stat = file.stat()
                name = file.relative_to(folder).as_posix()
                found.append(ArtifactEntry(name, stat.st_size, stat.st_mtime))
        return found

    def agents(self) -> list[str]:
        """Return the names of agents that have files."""
        if not self.folder.is_dir():
            return []
        return sorted(entry.name for entry in self.folder.iterdir() if entry.is_dir())

    def locate(self, path: str, agent_name: str) -> Path:
        """Return where a file is or would be; raises Mistake where that is outside the folder."""
        folder = self._agent(agent_name)
        parts = PurePosixPath(path).parts
        bad = "\\" in path or "\x00" in path or path.startswith("/") or ".." in parts
        if bad or not parts or len(path) > PATH_CHARACTERS_MAX or parts[-1].startswith("."):
            raise _leaves(path, agent_name)
        target = folder.joinpath(*parts)
        self._stay_inside(target, path, agent_name)
        return target

    def _stay_inside(self, target: Path, path: str, agent_name: str) -> None:
        # Resolved too, because a link inside the folder may point out of it.
        home = self._agent(agent_name).resolve()
        if not target.resolve().is_relative_to(home):
            raise _leaves(path, agent_name)

    def _agent(self, agent_name: str) -> Path:
        if not _NAME.fullmatch(agent_name):
            raise Mistake(f"agent '{agent_name}' cannot be a folder's name")
        return self.folder / agent_name


def _write_durably(file: Path, data: bytes) -> None:
    with file.open("xb") as out:
        out.write(data)
        out.flush()
        os.fsync(out.fileno())


def prepare(content: str | bytes) -> Content:
    """Return content as it will be written: text redacted, bytes as they are."""
    data = redact_text(content).encode() if isinstance(content, str) else content
    if len(data) > FILE_BYTES_MAX:
        raise Mistake(f"an artifact of {len(data)} bytes exceeds {FILE_BYTES_MAX}")
    return Content(data, hashlib.sha256(data).hexdigest())


def prepare_json(data: Any) -> Content:
    """Return data as it will be written: redacted, indented, with a last newline."""
    text = json.dumps(redact(data), indent=2, ensure_ascii=False, default=_plain) + "\n"
    return Content(text.encode(), hashlib.sha256(text.encode()).hexdigest())


def _plain(value: Any) -> str:
    return value.isoformat() if hasattr(value, "isoformat") else redact_text(str(value))


def _leaves(path: str, agent_name: str) -> Mistake:
    return Mistake(
        f"artifact path '{path}' leaves the folder of '{agent_name}'",
        "use a relative path of at most 200 characters without '..'",
    )


def _unwritable(target: Path, error: OSError) -> Unready | Refused:
    said = f"artifact '{target}' could not be written: {error.strerror}"
    if error.errno in _NO_ROOM:
        return Unready(said, "free some space")
    return Refused(said, "make the folder writable or set ROUNDSMAN_ARTIFACTS")
