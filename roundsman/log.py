"""What a process says while it works: one redacted JSON line an event, bound to its run."""

from __future__ import annotations

import fcntl
import gzip
import json
import logging
import os
import shutil
import sys
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from logging.handlers import BaseRotatingHandler, RotatingFileHandler, TimedRotatingFileHandler
from pathlib import Path
from threading import Lock
from typing import Any, Literal, NamedTuple

from roundsman.errors import Mistake
from roundsman.rules.plain_text import harmless, harmless_json
from roundsman.rules.redaction import redact, redact_text

ROOT = "roundsman"
FILE_NAME = "roundsman.log"
MESSAGE_CHARACTERS_MAX = 20_000

_correlation: ContextVar[str | None] = ContextVar("roundsman_correlation_id", default=None)
_global_correlation: str | None = None
_setup = Lock()


class LogRotationConfig(NamedTuple):
    """Where lines are kept, how large a file may grow, how many old ones stay."""

    log_dir: str | Path = "/var/log/agents"
    max_bytes: int = 100 * 1024 * 1024
    backup_count: int = 30
    compression: bool = True
    when: Literal["size", "midnight"] = "size"


def set_correlation_id(correlation_id: str | None) -> None:
    """Bind what is said in this thread or task from now on."""
    _correlation.set(None if correlation_id is None else str(correlation_id))


def set_global_correlation_id(correlation_id: str | None) -> None:
    """Bind what is said by any thread that has no id of its own."""
    global _global_correlation
    _global_correlation = None if correlation_id is None else str(correlation_id)


def get_correlation_id() -> str | None:
    """Return this thread's or task's id, else the process's."""
    return _correlation.get() or _global_correlation


@contextmanager
def log_context(correlation_id: str) -> Generator[None]:
    """Bind what is said inside; the id of before is back on exit."""
    token = _correlation.set(str(correlation_id))
    try:
        yield
    finally:
        _correlation.reset(token)


@asynccontextmanager
async def async_log_context(correlation_id: str) -> AsyncGenerator[None]:
    """Bind what is said inside, also by tasks started there; cleared on exit."""
    with log_context(correlation_id):
        yield


class StructuredLogger:
    """A logger whose extra facts go into `metadata` instead of into the sentence."""

    def __init__(self, logger: logging.Logger, component: str) -> None:
        self._logger = logger
        self.component = component

    def debug(
        self, msg: str, metadata: Mapping[str, Any] | None = None, exc_info: Any = None
    ) -> None:
        """Say what only a developer wants to hear."""
        self._say(logging.DEBUG, msg, metadata, exc_info)

    def info(
        self, msg: str, metadata: Mapping[str, Any] | None = None, exc_info: Any = None
    ) -> None:
        """Say what happened."""
        self._say(logging.INFO, msg, metadata, exc_info)

    def warning(
        self, msg: str, metadata: Mapping[str, Any] | None = None, exc_info: Any = None
    ) -> None:
        """Say what should be looked at, though work goes on."""
        self._say(logging.WARNING, msg, metadata, exc_info)

    def error(
        self, msg: str, metadata: Mapping[str, Any] | None = None, exc_info: Any = None
    ) -> None:
        """Say what failed; `exc_info=True` adds the stack."""
        self._say(logging.ERROR, msg, metadata, exc_info)

    def critical(
        self, msg: str, metadata: Mapping[str, Any] | None = None, exc_info: Any = None
    ) -> None:
        """Say what stops the whole."""
        self._say(logging.CRITICAL, msg, metadata, exc_info)

    def _say(self, level: int, msg: str, metadata: Mapping[str, Any] | None, exc_info: Any) -> None:
        if self._logger.isEnabledFor(level):
            facts = {"component": self.component, "metadata": dict(metadata or {})}
            self._logger.log(level, "%s", msg, exc_info=exc_info, extra={"roundsman": facts})


class JsonFormatter(logging.Formatter):
    """One line: timestamp, level, message, correlation_id, component, metadata."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the redacted line."""
        facts: dict[str, Any] = getattr(record, "roundsman", {})
        line: dict[str, Any] = {
            "timestamp": _instant(record.created),
            "level": record.levelname,
            "message": redact_text(record.getMessage()[:MESSAGE_CHARACTERS_MAX]),
            "correlation_id": get_correlation_id(),
            "component": facts.get("component", record.name),
            "metadata": redact(facts.get("metadata", {})),
        }
        if record.exc_info and record.exc_info[0] is not None:
            line["exception"] = redact_text(self.formatException(record.exc_info))
        # Part of it may be what a stranger sent, and somebody reads it at a terminal.
        return harmless_json(json.dumps(line, default=_as_text, ensure_ascii=False))


class ConsoleFormatter(logging.Formatter):
    """The same for a person at a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the redacted line."""
        facts: dict[str, Any] = getattr(record, "roundsman", {})
        metadata = " ".join(f"{key}={value}" for key, value in facts.get("metadata", {}).items())
        clock = _instant(record.created)[11:19]
        text = f"{clock} {record.levelname.lower()} {record.getMessage()} {metadata}".rstrip()
        if record.exc_info and record.exc_info[0] is not None:
            text += "\n" + self.formatException(record.exc_info)
        # Part of it may be what a stranger sent: an address, a name, a header.
        return redact_text(harmless(text))


def _as_text(value: Any) -> str:
    return redact_text(str(value))


def _instant(seconds: float) -> str:
    at = datetime.fromtimestamp(seconds, UTC)
    return at.isoformat(timespec="microseconds").replace("+00:00", "Z")


def get_logger(name: str, component: str | None = None) -> StructuredLogger:
    """Return a logger below ours; `component` defaults to the last part of the name."""
    root = logging.getLogger(ROOT)
    if not root.handlers:
        with _setup:
            if not root.handlers:
                _configure(root, logging.StreamHandler(sys.stderr), JsonFormatter())
                root.setLevel(logging.WARNING)
    inside = name == ROOT or name.startswith(ROOT + ".")
    logger = logging.getLogger(name if inside else f"{ROOT}.{name}")
    return StructuredLogger(logger, component or name.rpartition(".")[2])


def configure_logging(
    level: str = "WARNING",
    log_dir: str | Path | None = None,
    log_format: Literal["json", "console"] = "json",
) -> None:
    """Say what is at least this loud, to standard error, or to rotated files in a folder."""
    root = logging.getLogger(ROOT)
    root.setLevel(level.upper())
    if log_dir is not None:
        configure_global_rotation(LogRotationConfig(log_dir))
        return
    formatter = JsonFormatter() if log_format == "json" else ConsoleFormatter()
    with _setup:
        _configure(root, logging.StreamHandler(sys.stderr), formatter)


def configure_global_rotation(config: LogRotationConfig) -> None:
    """Send every line of this process to rotated files; several processes may share them.

    Raises Mistake where the folder cannot be written.
    """
    path = Path(config.log_dir) / FILE_NAME
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handler = _handler(path, config)
    except OSError as error:
        raise Mistake(
            f"log folder '{config.log_dir}' could not be written: {error.strerror}",
            "set ROUNDSMAN_LOG_DIR to a writable folder",
        ) from error
    with _setup:
        _configure(logging.getLogger(ROOT), handler, JsonFormatter())


def _configure(
    root: logging.Logger, handler: logging.Handler, formatter: logging.Formatter
) -> None:
    handler.setFormatter(formatter)
    for old in list(root.handlers):
        root.removeHandler(old)
        old.close()
    root.addHandler(handler)
    root.propagate = False


def _handler(path: Path, config: LogRotationConfig) -> logging.Handler:
    if config.when == "midnight":
        handler: BaseRotatingHandler = TimedRotatingFileHandler(
            path, when="midnight", backupCount=config.backup_count, utc=True, encoding="utf-8"
        )
    else:
        handler = SharedRotatingHandler(
            path,
            maxBytes=config.max_bytes,
            backupCount=config.backup_count,
            encoding="utf-8",
        )
    if config.compression:
        handler.namer = _compressed_name
        handler.rotator = _compress
    return handler


class SharedRotatingHandler(RotatingFileHandler):
    """A rotated file that several processes append to: one of them rotates, the others follow."""

    def shouldRollover(self, record: logging.LogRecord) -> bool:  # noqa: N802 the parent's name
        """Follow a file that another process moved away, then look at its size."""
        self._follow()
        return bool(super().shouldRollover(record))

    def doRollover(self) -> None:  # noqa: N802 the parent's name
        """Rotate unless another process has done it while we waited."""
        with open(f"{self.baseFilename}.lock", "a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._follow()
            if os.path.getsize(self.baseFilename) > 0 and self._is_full():
                super().doRollover()

    def _is_full(self) -> bool:
        return os.path.getsize(self.baseFilename) >= self.maxBytes * 0.9

    def _follow(self) -> None:
        try:
            there = os.stat(self.baseFilename)
        except FileNotFoundError:
            there = None
        here = os.fstat(self.stream.fileno()) if self.stream else None
        if there is None or here is None or there.st_ino != here.st_ino:
            if self.stream:
                self.stream.close()
            self.stream = self._open()


def _compressed_name(name: str) -> str:
    return f"{name}.gz"


def _compress(source: str, target: str) -> None:
    with open(source, "rb") as plain, gzip.open(target, "wb") as packed:
        shutil.copyfileobj(plain, packed)
    os.remove(source)
