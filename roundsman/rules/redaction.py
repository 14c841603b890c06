"""What must never be written down: the one redactor before ledger, log, artifact and Prefect."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple, cast
from urllib.parse import quote

REDACTED = "***"
SECRET_CHARACTERS_MIN = 4
DEPTH_MAX = 64
# Keys are few and come again; a long one is no name, and is not kept.
KEYS_KEPT_MAX = 4_096
KEY_CHARACTERS_KEPT_MAX = 64

# What stands behind these is a password, also in a sentence.
_PASSWORD_WORDS = "password|passwd|passphrase|passwort|kennwort"
_LONG_WORDS = (
    f"{_PASSWORD_WORDS}|secret|token|api[_ -]?key|access[_ -]?key|private[_ -]?key"
    "|signing[_ -]?key|chain[_ -]?key"
)
_SHORT_WORDS = "pwd|credentials?|dsn"
_ASSIGNED_WORDS = f"{_LONG_WORDS}|{_SHORT_WORDS}"
_KEY_WORDS = f"{_ASSIGNED_WORDS}|authorization|cookie"
_SECRET_KEY = re.compile(rf"(?:^|[_\-.\s])(?:{_KEY_WORDS})$|^(?:{_KEY_WORDS})$", re.IGNORECASE)
_PLAIN_END = re.compile(rf"(?:{_PASSWORD_WORDS}|secret|apikey)$", re.IGNORECASE)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")

# One cheap look decides whether the slower patterns are worth trying at all.
_SUSPICIOUS = re.compile(
    r"://|[@=:]|bearer|basic|apikey|eyJ|-----BEGIN|gh[pousr]_|github_pat|xox|AKIA|AIza|ya29\."
    r"|glpat-|sk-|k_live|k_test|essu_|--|passw|passphrase|kennwort|secret|token"
    r"|(?:api|access|private|signing|chain) key",
    re.IGNORECASE,
)
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)")
_VALUE = r"""(?:\\?"(?:[^"\\\n]|\\[^"])*\\?"|'[^'\n]*'|[^\s"',;&)}\]]+)"""
_PEM = re.compile(r"-----BEGIN ([A-Z0-9 ]*PRIVATE KEY)-----.*?(?:-----END \1-----|\Z)", re.DOTALL)
# Anything up to the last @ is a password, quotes inside of words too; a quote that ends a word,
# as in compact JSON, ends the address.
_URL_PASSWORD = re.compile(
    r"""(?P<web>https?)?(?P<user>://[^\s/:@"'<>]{0,256}):"""
    r"""(?!\d{1,5}(?:[\s"'<>,;)\]}]|$))(?P<port>\d{1,5}(?=[/?#]))?"""
    r"""[^\s"'<>]{0,512}(?:["'](?![\s,;:)}\]>]|$)[^\s"'<>]{0,512}){0,4}@""",
    re.IGNORECASE,
)
_HOST = re.compile(r"://(?:.*[.\]]|localhost$)")
# What stands alone before the @ of a web address is a token; elsewhere it is a user's name.
_URL_TOKEN = re.compile(r"""(\bhttps?://)[^\s/?#:@"'<>]{1,512}@""", re.IGNORECASE)
_QUERY = re.compile(
    r"([?&](?:api[_-]?key|apikey|key|token|access_token|id_token|refresh_token|sig|signature"
    r"|x-amz-signature|password|secret|client_secret)=)[^&\s#\"']+",
    re.IGNORECASE,
)
_HEADER = re.compile(
    r"""(\b(?:proxy-)?authorization\\?["']?\s*[:=]\s*(?:\\?["'])?)"""
    r"""(?:(bearer|basic|apikey|api-key|token|digest|negotiate)\s+)?[^\s"'\\,;}]+""",
    re.IGNORECASE,
)
_COOKIE = re.compile(r"(\b(?:set-)?cookie\s*:\s*)[^\r\n\"']+", re.IGNORECASE)
_SCHEME = re.compile(r"\b(bearer|basic|apikey)(\s+)([A-Za-z0-9._~+/=\-]{8,})", re.IGNORECASE)
# Long words count at the end of any name (PGPASSWORD, SecretAccessKey), short ones alone.
_ASSIGNED = re.compile(
    rf"""((?:(?:\b|_)(?:{_SHORT_WORDS})|{_LONG_WORDS})\\?["']?\s*)([=:]\s*)({_VALUE})""",
    re.IGNORECASE,
)
# dbt's own `PASS=12` is a count.
_PASS = re.compile(
    rf"""((?:\b|_)(?:pass|pw)\s*)(=\s*)(?!(?:\d+|true|false|yes|no|ok)\b)({_VALUE})""",
    re.IGNORECASE,
)
_OPTION = re.compile(
    rf"""((?<![\w-])--?(?:[a-z]{{1,20}}-){{0,3}}(?:{_ASSIGNED_WORDS}|pass)[ \t]+)()"""
    rf"""((?!-){_VALUE})""",
    re.IGNORECASE,
)
# `curl -u name:password`, as one word or as two, also in a list of arguments.
_USER = re.compile(
    r"""(?P<head>(?<![\w-])(?P<option>-[uU]|--(?:proxy-)?user)"""
    r"""(?P<gap>[ \t]*=[ \t]*|[ \t]+|\\?["'],[ \t]*)?(?P<mark>\\?["'])?"""
    r"""(?P<name>[^\s:"'`=/]{0,256}):)(?!//)"""
    r"""(?P<secret>(?(mark)(?:[^"'\\\n]|\\[^"'\n]){1,512}|[^\s"'`]{1,512}))"""
)
# How far before a `-uname:password` in one word `curl` may stand.
CURL_CHARACTERS_MAX = 500
# "The password is hunter", but not "is required" or "is 12 characters long".
_SENTENCE = re.compile(
    rf"""((?:{_LONG_WORDS})[ \t]+(?:is|was|ist|war|lautet))([ \t]*[:=][ \t]*|[ \t]+)"""
    rf"""(?!\d+[ ](?:bit|byte|char|day|hour|letter|minute|month|second|week|year))({_VALUE})""",
    re.IGNORECASE,
)
# Words that follow a name in a sentence about it; a machine makes no such secrets.
_PROSE_WORDS = (
    "a an and any are as at bad be by bytes can cannot denied empty erforderlich expected expired"
    " false field file first for forbidden from has if in input instead invalid is it may missing"
    " must needs no none not null of ok on once option or present read required requires revoked"
    " set should str string text that the then this to too true twice type unauthorized unknown"
    " unset used value was when where which will with without wrong"
)
# Words that follow "is" only; behind an option or a colon they could be somebody's password.
_STATE_WORDS = (
    "abgelaufen about again already also always been being blank correct different falsch"
    " fehlt hidden ignored incorrect kept known leer longer lost made never nicht now okay"
    " one only optional sent short shorter shown still taken there ungültig valid weak what"
    " written"
)
_PROSE = frozenset(_PROSE_WORDS.split())
_STATES = frozenset(_STATE_WORDS.split())
_KNOWN = re.compile(
    r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*|\bgh[pousr]_[A-Za-z0-9]{20,}|\bgithub_pat_\w{20,}"
    r"|\bxox[abprs]-[\w-]{10,}|\bAKIA[0-9A-Z]{16}\b|\bAIza[\w-]{35}|\bya29\.[\w-]{10,}"
    r"|\bglpat-[\w-]{16,}|\bsk-[\w-]{20,}|\b[sr]k_(?:live|test)_\w{16,}|\bessu_[\w=-]{16,}"
)

_registered: set[str] = set()
_ordered: tuple[str, ...] = ()


def register_secret(value: str) -> None:
    """Have a value cut out of everything that is written from now on in this process.

    Its URL-quoted, base64, JSON and repr() forms go with it. Values under four characters are left
    alone: cutting them would tear ordinary words apart.
    """
    global _ordered
    if len(value) < SECRET_CHARACTERS_MIN:
        return
    raw = value.encode("utf-8", "surrogatepass")
    encoded = base64.b64encode(raw).decode("ascii")
    _registered.update({value, quote(value, safe="", errors="replace"), encoded})
    # Behind both quotes repr() escapes what it need not escape in a text without them.
    for spell in (repr, ascii):
        _registered.update({spell(value)[1:-1], spell(f"{value}\"'")[1:-4]})
    _registered.update({repr(raw)[2:-1], repr(raw + b"\"'")[2:-4]})
    for is_ascii in (True, False):
        inner = json.dumps(value, ensure_ascii=is_ascii)[1:-1]
        # A document inside a document is escaped twice.
        _registered.update({inner, json.dumps(inner, ensure_ascii=is_ascii)[1:-1]})
    _ordered = tuple(sorted(_registered, key=len, reverse=True))


def forget_secrets() -> None:
    """Forget all registered values."""
    global _ordered
    _registered.clear()
    _ordered = ()


def redact_text(text: str) -> str:
    """Return the text without registered secrets, passwords in URLs, headers and keys."""
    text = _without_registered(text)
    if not _SUSPICIOUS.search(text) or _INSTANT.fullmatch(text):
        return text
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


def _without_registered(text: str) -> str:
    for secret in _ordered:
        if secret in text:
            text = text.replace(secret, REDACTED)
    return text


def redact(value: Any) -> Any:
    """Return nested JSON in the same shape, without secrets in values or behind telling keys.

    What is deeper than 64 levels is cut.
    """
    return _redact(value, DEPTH_MAX)


def is_secret_key(key: str) -> bool:
    """Whether a value behind this key is a secret by its name alone."""
    return bool(_SECRET_KEY.search(_CAMEL.sub("_", key)) or _PLAIN_END.search(key))


def _redact(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return redact_text(value)
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if depth == 0:
        return REDACTED
    if isinstance(value, dict):
        items = cast("dict[Any, Any]", value).items()
        return dict(_item(key, item, depth - 1) for key, item in items)
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_redact(item, depth - 1) for item in cast("list[Any]", value)]
    return value


def _item(key: Any, value: Any, depth: int) -> tuple[Any, Any]:
    if not isinstance(key, str):
        return key, _redact(value, depth)
    look = _look(key)
    name = redact_text(key) if look.is_suspicious else _without_registered(key)
    if look.is_secret and not _is_harmless(value):
        return name, REDACTED
    return name, _redact(value, depth)


class _Look(NamedTuple):
    """What a key is by itself, whichever secrets are registered."""

    is_secret: bool
    is_suspicious: bool


def _look(key: str) -> _Look:
    return _kept_look(key) if len(key) <= KEY_CHARACTERS_KEPT_MAX else _new_look(key)


def _new_look(key: str) -> _Look:
    return _Look(is_secret_key(key), bool(_SUSPICIOUS.search(key)))


_kept_look = lru_cache(maxsize=KEYS_KEPT_MAX)(_new_look)


def _is_harmless(value: Any) -> bool:
    return value is None or isinstance(value, bool) or value in ("", [], {})


def _url_password(match: re.Match[str]) -> str:
    # `http://127.0.0.1:9200/_search?q=a@b.org` has a port; `postgresql://ann:123/4x@db` has none.
    if match["port"] and match["web"] and _HOST.match(match["user"]):
        return match[0]
    return f"{match['web'] or ''}{match['user']}:{REDACTED}@"


def _header(match: re.Match[str]) -> str:
    scheme = f"{match[2]} " if match[2] else ""
    return f"{match[1]}{scheme}{REDACTED}"


def _scheme(match: re.Match[str]) -> str:
    secret = _is_basic(match[3]) if match[1].lower() == "basic" else _is_opaque(match[3])
    return f"{match[1]}{match[2]}{REDACTED}" if secret else match[0]


def _user(match: re.Match[str]) -> str:
    if match["gap"] is None and (match["option"] != "-u" or not _follows_curl(match)):
        return match[0]
    # `docker run -u 1000:1000` names a group.
    if match["name"].isdigit() and match["secret"].isdigit():
        return match[0]
    return f"{match['head']}{REDACTED}"


def _follows_curl(match: re.Match[str]) -> bool:
    before = match.string[max(0, match.start() - CURL_CHARACTERS_MAX) : match.start()]
    return "curl" in before.rpartition("\n")[2]


def _assigned(match: re.Match[str]) -> str:
    # "unexpected token: FROM" and "password: required" are prose; "token=FROM" is not.
    prose = ":" in match[2] and match[2] != ":" and match[3][0] not in "\"'\\"
    if prose and not _is_opaque(match[3]):
        # "X-API-Key: hunter" and "SecretAccessKey: hunter" are fields, not sentences.
        is_field = re.search("[_-]|api ", match[1], re.IGNORECASE) or _is_inside_word(match)
        # What comes from the environment is a name, not yet a password.
        is_named = _is_password(match[1]) and not match[3].startswith("${")
        if not (is_field or is_named) or _is_prose(match[3]):
            return match[0]
    return _behind_name(match)


def _sentence(match: re.Match[str]) -> str:
    word = match[3].lower().rstrip(".:!?")
    is_quoted = word[:1] in ('"', "'", "\\")
    if _is_prose(word, _PROSE | _STATES):
        return match[0]
    # "The token is lost on us" and "the password was rejected" are about it, "is hunter" tells it.
    is_about = not _is_password(match[1]) or word.endswith("ed")
    if is_about and not is_quoted and not _is_opaque(match[3]):
        return match[0]
    return _behind_name(match)


def _option(match: re.Match[str]) -> str:
    if _is_prose(match[3]) and not _is_opaque(match[3]):
        return match[0]
    return _behind_name(match)


def _is_inside_word(match: re.Match[str]) -> bool:
    start = match.start()
    return start > 0 and (match.string[start - 1].isalnum() or match.string[start - 1] in "_-")


def _is_password(name: str) -> bool:
    return bool(re.search(_PASSWORD_WORDS, name, re.IGNORECASE))


def _is_prose(word: str, words: frozenset[str] = _PROSE) -> bool:
    return all(part.strip(".:!?(") in words for part in word.lower().split("/"))


def _behind_name(match: re.Match[str]) -> str:
    quoted = re.match(r"\\?[\"']", match[3])
    quote_mark = quoted[0] if quoted else ""
    return f"{match[1]}{match[2]}{quote_mark}{REDACTED}{quote_mark}"


def _is_opaque(word: str) -> bool:
    """Whether a word looks made by a machine or chosen as a password."""
    mixed = any(c.isupper() for c in word[1:]) and any(c.islower() for c in word)
    return len(word) >= 20 or any(c.isdigit() for c in word) or mixed or "!" in word


def _is_basic(word: str) -> bool:
    try:
        return b":" in base64.b64decode(word + "=" * (-len(word) % 4))
    except (binascii.Error, ValueError):
        return False


_Replacement = str | Callable[[re.Match[str]], str]
_PATTERNS: tuple[tuple[re.Pattern[str], _Replacement], ...] = (
    (_PEM, REDACTED),
    (_USER, _user),
    (_URL_PASSWORD, _url_password),
    (_URL_TOKEN, rf"\g<1>{REDACTED}@"),
    (_QUERY, rf"\g<1>{REDACTED}"),
    (_HEADER, _header),
    (_COOKIE, rf"\g<1>{REDACTED}"),
    (_SCHEME, _scheme),
    (_ASSIGNED, _assigned),
    (_SENTENCE, _sentence),
    (_PASS, _behind_name),
    (_OPTION, _option),
    (_KNOWN, REDACTED),
)
