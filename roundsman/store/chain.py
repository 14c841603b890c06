"""How events are chained: the key, the canonical text of a payload, the hash and the anchors."""

from __future__ import annotations

import errno
import hashlib
import hmac
import json
import math
import os
import secrets
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, cast

from roundsman.errors import Mistake, Unready

KEY_BYTES = 32
KEYS_KEPT_MAX = 8


class Anchor(NamedTuple):
    """A head that was written down outside the database."""

    org: str
    seq: int
    hash: str
    at: str


def link(key: bytes, previous: bytes, fields: tuple[bytes, ...]) -> str:
    """Return the hash of one event: seq, run, attempt, kind, time, payload's sha256, in order."""
    return hmac.digest(key, b"\n".join((previous, *fields)), "sha256").hex()


def genesis(key: bytes, org: str) -> str:
    """Return what stands in place of a previous hash before an org's first event."""
    return hmac.digest(key, f"roundsman:chain:{org}".encode(), "sha256").hex()


@lru_cache(maxsize=KEYS_KEPT_MAX)
def key_id(key: bytes) -> str:
    """Return a fingerprint by which a store recognises the key it was written with."""
    return hmac.digest(key, b"roundsman:key", "sha256").hex()[:16]


def sha256(text: str) -> str:
    """Return the hex digest of a text's UTF-8 bytes."""
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


_ENCODE = json.JSONEncoder(
    ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False, default=_plain
).encode


def canonical(value: Any) -> str:
    """Return the one JSON text of a value: sorted keys, no blanks.

    What no database stores (NUL, lone surrogates, NaN) is replaced.
    """
    try:
        text = _ENCODE(value)
        text.encode()
    except (UnicodeEncodeError, ValueError, TypeError):
        return _ENCODE(_storable(value))
    return _ENCODE(_storable(value)) if "\\u0000" in text else text


def _storable(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        items = cast("dict[Any, Any]", value).items()
        return {_storable(str(key)): _storable(item) for key, item in items}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_storable(item) for item in cast("list[Any]", value)]
    return value


def read_key(path: Path, may_create: bool) -> bytes:
    """Return the chain's key, made at first use; two processes may meet here.

    Raises Mistake where the key is missing though events exist, or is not a key.
    """
    try:
        if not path.exists():
            if not may_create:
                raise Mistake(
                    f"chain key '{path}' is missing, but the ledger holds events made with it",
                    "restore the key from its backup, or start with another ledger",
                )
            _make_key(path)
        if path.stat().st_mode & 0o077:
            path.chmod(0o600)
        key = bytes.fromhex(path.read_text("ascii").strip())
    except OSError as error:
        raise Mistake(
            f"chain key '{path}' could not be read or made: {error.strerror}",
            "make the folder writable or set ROUNDSMAN_CHAIN_KEY",
        ) from error
    except ValueError as error:
        raise Mistake(f"chain key '{path}' is not hexadecimal", "restore it") from error
    if len(key) < KEY_BYTES:
        raise Mistake(f"chain key '{path}' is shorter than {KEY_BYTES} bytes", "restore it")
    return key


def _make_key(path: Path) -> None:
    # Written aside and linked into place: whoever links first wins, nobody reads half a key.
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    aside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(KEY_BYTES) + "\n")
            file.flush()
            os.fsync(file.fileno())
        if not path.exists():
            os.link(aside, path)
    except FileExistsError:
        return
    finally:
        aside.unlink(missing_ok=True)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make a rename or a new name in this folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def append_anchor(path: Path, anchor: Anchor) -> None:
    """Write a head down as one JSON line and wait until it is on the disk; raises OSError."""
    line = (json.dumps(anchor._asdict()) + "\n").encode()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with open(path, "ab+", buffering=0, opener=_private) as file:
        # A line that a full disk cut short must not swallow this one.
        end = file.seek(0, os.SEEK_END)
        if end and os.pread(file.fileno(), 1, end - 1) != b"\n":
            line = b"\n" + line
        if file.write(line) != len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(file.fileno())


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def read_anchors(path: Path, org: str) -> tuple[list[Anchor], list[int]]:
    """Return an org's anchors and the numbers of the lines that are none."""
    anchors: list[Anchor] = []
    broken: list[int] = []
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                anchor = _anchor(line)
                if anchor is None:
                    broken.append(number)
                elif anchor.org == org:
                    anchors.append(anchor)
    except OSError as error:
        raise Unready(f"anchor file '{path}' could not be read: {error.strerror}") from error
    return anchors, broken


def _anchor(line: bytes) -> Anchor | None:
    try:
        raw = json.loads(line)
        return Anchor(str(raw["org"]), int(raw["seq"]), str(raw["hash"]), str(raw["at"]))
    except (ValueError, KeyError, TypeError):
        return None
