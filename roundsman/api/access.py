"""Who is calling, for which org, and what he may do here."""

from __future__ import annotations

import hmac
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Annotated, NamedTuple

from anyio import CapacityLimiter
from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from roundsman.api import stream
from roundsman.api.guard import READING, hostname_of
from roundsman.api.problems import Throttled
from roundsman.api.room import Room
from roundsman.api.stream import Listener
from roundsman.errors import Denied
from roundsman.settings import LOOPBACK_HOSTS, Settings
from roundsman.store import Ledger, keys
from roundsman.store.keys import ApiKey, Owned, Permission
from roundsman.store.sessions import recognise_session

CALLERS_MAX = 10_000
# How many children may be loading the engine at once; others wait for their turn.
STARTS_AT_ONCE_MAX = 8
# Any of these, or one that begins so, was added on the way.
FORWARDED = ("forwarded", "via", "x-forwarded-", "x-real-ip")
SESSION_COOKIE = "roundsman_session"
CSRF_HEADER = "X-CSRF-Token"
MAKE_ONE = "make one: roundsman keys create NAME --permission {}"

_bearer = HTTPBearer(auto_error=False, description="A key of `roundsman keys create`")


class Rates:
    """A bucket of requests for every caller, refilled evenly over the minute."""

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, who: str, now: float) -> float:
        """Take one request; gives the seconds that are to be waited first, else 0."""
        a_second = self._per_minute / 60
        with self._lock:
            left, since = self._left.pop(who, (float(self._per_minute), now))
            left = min(self._per_minute, left + (now - since) * a_second)
            is_there = left >= 1
            self._left[who] = (left - 1 if is_there else left, now)
            # Whoever was not heard of the longest has a full bucket again, or nearly.
            while len(self._left) > CALLERS_MAX:
                self._left.popitem(last=False)
        return 0.0 if is_there else (1 - left) / a_second


class Welcomes:
    """Whether what somebody came in by is good still; asked once for all who came in by it."""

    def __init__(self) -> None:
        self._known: OrderedDict[object, tuple[float, bool]] = OrderedDict()
        self._lock = threading.Lock()

    def ask(self, who: object, look: Callable[[], bool], seconds: float) -> bool:
        """What `look` says, or said of the same at most so many seconds ago."""
        with self._lock:
            at, is_good = self._known.get(who, (-math.inf, False))
            if time.monotonic() - at < seconds:
                return is_good
            # Under the lock: the others wait for this one answer instead of asking too.
            is_good = look()
            self._known[who] = time.monotonic(), is_good
            self._known.move_to_end(who)
            while len(self._known) > CALLERS_MAX:
                self._known.popitem(last=False)
            return is_good


class House(NamedTuple):
    """What every request of one app shares."""

    settings: Settings
    ledger: Ledger
    rates: Rates
    starts: CapacityLimiter
    room: Room
    welcomes: Welcomes


class Caller(NamedTuple):
    """Who calls; without a key, somebody at this machine. `settings` are those of his org."""

    settings: Settings
    key: ApiKey | None

    @property
    def org(self) -> str:
        """Whose rows he may see."""
        return self.settings.org_id

    @property
    def name(self) -> str:
        """How the record calls him."""
        return self.key.name if self.key else self.settings.user_email or ""

    @property
    def user_email(self) -> str | None:
        """His e-mail, where his key is named by one."""
        if self.key is None:
            return self.settings.user_email
        return self.key.name if "@" in self.key.name else None

    @property
    def is_admin(self) -> bool:
        """Whether he is shown stacks too."""
        return self.key is not None and self.key.may("admin")

    def require(self, permission: Permission) -> None:
        """Raise Denied unless his key opens this."""
        if self.key is None:
            said = f"this needs a key with the permission '{permission}', on this machine too"
            raise Denied(said, MAKE_ONE.format(permission), status=401)
        if not self.key.may(permission):
            held = ", ".join(self.key.permissions)
            said = f"key '{self.key.key_id}' has no permission '{permission}', only {held}"
            raise Denied(said, "use another key", status=403)


def house_of(request: Request) -> House:
    """What the app's requests share."""
    house: House = request.app.state.house
    return house


def identify(
    request: Request,
    house: Annotated[House, Depends(house_of)],
    given: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> Caller:
    """Who is calling. Raises Denied for a wrong key and for a stranger, Throttled beyond the rate.

    The key stands in the Authorization header, or the page exchanged it for a cookie; it is
    nowhere else: addresses end up in logs.
    """
    owned = keys.recognise(house.ledger, given.credentials) if given else None
    if "authorization" not in request.headers:
        owned = _of_session(request, house)
    address = address_of(request)
    pay(house, f"key {owned.key.key_id}" if owned else f"address {address}")
    if owned is not None:
        # The settings' e-mail is that of whoever serves, not of whoever calls.
        own = {"org_id": owned.org, "user_email": None}
        return Caller(house.settings.model_copy(update=own), owned.key)
    if "authorization" in request.headers:
        said = "this key is unknown, expired or revoked"
        raise Denied(said, "send a good one in the header Authorization, as Bearer KEY", status=401)
    if keys.has_keys(house.ledger, house.settings.org_id):
        raise Denied(
            "a key is needed here",
            "send one in the header Authorization, as Bearer KEY",
            status=401,
        )
    if not _is_here(request, address):
        said = "without a key only this machine itself is answered"
        raise Denied(said, MAKE_ONE.format("read"), status=401)
    return Caller(house.settings, None)


Anybody = Annotated[Caller, Depends(identify)]


def reader(caller: Anybody) -> Caller:
    """A caller who may read: without a key, where none exists, at this machine."""
    if caller.key is not None:
        caller.require("read")
    return caller


def _holder(permission: Permission) -> Callable[[Caller], Caller]:
    def holds(caller: Anybody) -> Caller:
        caller.require(permission)
        return caller

    return holds


Reader = Annotated[Caller, Depends(reader)]
Writer = Annotated[Caller, Depends(_holder("write"))]
Approver = Annotated[Caller, Depends(_holder("approve"))]
TheHouse = Annotated[House, Depends(house_of)]


def org_of_reader(caller: Reader) -> str:
    """The org of whoever reads, for routes that need no more."""
    return caller.org


def listener(request: Request, caller: Reader, house: TheHouse) -> Listener:
    """A reader whose answer goes on for hours: what he came in by may end before it."""
    ledger, key = house.ledger, caller.key
    is_by_cookie = "authorization" not in request.headers
    token = request.cookies.get(SESSION_COOKIE) if is_by_cookie else None

    def is_welcome() -> bool:
        if key is None:
            return not keys.has_keys(ledger, caller.org)
        if token is not None:
            return recognise_session(ledger, token) is not None
        return keys.find_good(ledger, caller.org, key.key_id) is not None

    who = (caller.org, key.key_id if key else None, token)

    def asked_once() -> bool:
        return house.welcomes.ask(who, is_welcome, stream.WELCOME_SECONDS / 3)

    return Listener(caller.org, asked_once)


def ledger_of_house(house: TheHouse) -> Ledger:
    """The app's ledger, for routes that need no more."""
    return house.ledger


def address_of(request: Request) -> str:
    """Where the request comes from."""
    return request.client.host if request.client else ""


def pay(house: House, who: str) -> None:
    """Take one of a caller's requests; raises Throttled where he has none left."""
    seconds = house.rates.take(who, time.monotonic())
    if seconds:
        most = house.settings.api_requests_per_minute
        raise Throttled(f"more than {most:,} requests a minute are not answered", seconds)


def _of_session(request: Request, house: House) -> Owned | None:
    """Whose cookie came along; what changes something has to repeat its word beside it."""
    token = request.cookies.get(SESSION_COOKIE)
    known = recognise_session(house.ledger, token) if token else None
    if known is None:
        return None
    owned, session = known
    told = request.headers.get(CSRF_HEADER, "").encode()
    if request.method not in READING and not hmac.compare_digest(told, session.csrf.encode()):
        said = f"a change by cookie needs the header {CSRF_HEADER}"
        raise Denied(said, "take its value from GET /session", status=403)
    return owned


def _is_here(request: Request, address: str) -> bool:
    """Whether the caller sits at this machine, and is not sent on by a proxy that does."""
    is_sent_on = any(name.startswith(FORWARDED) for name in request.headers)
    host = hostname_of(request.headers.get("host", ""))
    return address in LOOPBACK_HOSTS and host in LOOPBACK_HOSTS and not is_sent_on
