"""What goes over the web to Slack, web hooks and PagerDuty, and how their answers are read."""

from __future__ import annotations

import base64
import hashlib
import hmac
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from blocks.notify import PagerDutyNotify, SlackNotify, WebhookNotify
from roundsman.errors import Misread, Mistake, Refused, Unready
from roundsman.permits import NotSent
from roundsman.rules.messages import Link
from tests.blocks.channels import (
    AT,
    ROUTING_KEY,
    SECRET,
    SECRET_PATH,
    WEB_KINDS,
    document,
    message,
    web_channel,
)
from tests.blocks.permitted import LiveRun, live_run
from tests.blocks.purses import enforced
from tests.servers.receiver import Receiver
from tests.servers.scripted import Reply


@pytest.fixture
def live(run_home: Path) -> Iterator[LiveRun]:
    """A run that may act."""
    with live_run() as run:
        yield run


def send(live: LiveRun, block: Any, **changed: Any) -> Any:
    """Send a message by a permit of its own, on a target of its own."""
    told = message(**changed)
    return block.send(told, permit=live.permit(block.send, told, target=f"notify/{told.id}"))


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        *((status, None) for status in (200, 202, 204)),
        *((status, Refused) for status in (301, 307, 308, 400, 401, 403, 404, 410, 413, 451)),
        *((status, Misread) for status in (300, 302, 303)),
        *((status, NotSent) for status in (425, 429)),
        *((status, Unready) for status in (408, 500, 502, 503, 504)),
    ],
)
def test_a_status_says_whether_the_message_was_taken(
    live: LiveRun, receiver: Receiver, status: int, kind: type[Exception] | None
) -> None:
    receiver.then(Reply(status=status))
    block = web_channel("slack", receiver.url)
    if kind is None:
        assert send(live, block).reference == "0f3c"
        return
    with pytest.raises(kind) as error:
        send(live, block)
    assert type(error.value).__name__ in (kind.__name__, "Throttled")
    assert error.value.status == status  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", WEB_KINDS)
def test_a_redirect_is_not_followed(
    live: LiveRun, start_receiver: Callable[..., Receiver], kind: str
) -> None:
    first, elsewhere = start_receiver(), start_receiver()
    for status in (302, 307):
        first.then(Reply(status=status, headers={"Location": f"{elsewhere.url}/secret"}))
        with pytest.raises((Refused, Misread), match="final address"):
            send(live, web_channel(kind, first.url), id=str(status), dedup_key=str(status))
    assert len(first.received) == 2
    assert elsewhere.received == []


def test_a_proxy_of_the_environment_is_not_used(
    live: LiveRun, start_receiver: Callable[..., Receiver], monkeypatch: pytest.MonkeyPatch
) -> None:
    there, proxy = start_receiver(), start_receiver()
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, proxy.url)
    send(live, web_channel("slack", there.url))
    assert (len(there.received), proxy.received) == (1, [])


def test_a_message_that_was_taken_is_done_although_the_answer_was_torn(
    live: LiveRun, receiver: Receiver
) -> None:
    receiver.then("torn")
    assert send(live, web_channel("slack", receiver.url)).said == "half"


def test_a_connection_that_is_cut_while_sending_is_unknown(
    live: LiveRun, receiver: Receiver
) -> None:
    receiver.then("reset")
    with pytest.raises(Unready, match="whether the message was taken is unknown") as error:
        send(live, web_channel("slack", receiver.url))
    assert not isinstance(error.value, NotSent)


def test_the_other_sides_words_are_bounded_and_without_secrets(
    live: LiveRun, receiver: Receiver
) -> None:
    echo = f"no: POST {SECRET_PATH} \x1b[31m\n {receiver.url}{SECRET_PATH} " + "x" * 100_000
    receiver.then(Reply(echo.encode(), status=400))
    with pytest.raises(Refused) as refused:
        send(live, web_channel("slack", receiver.url))
    assert refused.value.said.startswith(
        f"slack at '{receiver.url.removeprefix('http://')}' refused (400): no: POST ***"
    )
    assert "aSecret" not in refused.value.said
    assert "\x1b" not in refused.value.said
    assert len(refused.value.said) < 400


def test_a_wait_that_is_asked_for_is_told(live: LiveRun, receiver: Receiver) -> None:
    receiver.then(Reply(status=429, headers={"Retry-After": "30"}))
    with pytest.raises(NotSent, match="it is tried again after 30 s"):
        send(live, web_channel("slack", receiver.url))
    receiver.then(Reply(status=429, headers={"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}))
    with pytest.raises(NotSent, match="it is tried again later"):
        send(live, web_channel("slack", receiver.url))


def test_a_budget_that_is_used_up_sends_nothing_and_keeps_the_permit(
    live: LiveRun, receiver: Receiver
) -> None:
    block = web_channel("slack", receiver.url)
    permit = live.permit(block.send, message())
    with enforced(ops=0), pytest.raises(NotSent, match="was not asked"):
        block.send(message(), permit=permit)
    assert receiver.received == []
    assert live.row(permit).state == "allowed"


def test_a_server_is_trusted_by_its_ca_file_and_by_nothing_else(
    live: LiveRun,
    start_receiver: Callable[..., Receiver],
    tls: ssl.SSLContext,
    certificate: Path,
) -> None:
    server = start_receiver(tls)
    trusting = web_channel("slack", server.url, ca_file=certificate)
    assert trusting.probe().reachable
    assert send(live, trusting).said == "ok"
    with pytest.raises(Refused, match=r"was not trusted.*set 'ca_file'"):
        web_channel("slack", server.url).probe()
    with pytest.raises(Refused, match=r"was not trusted.*set 'ca_file'"):
        send(live, web_channel("slack", server.url), id="2")
    with pytest.raises(Mistake, match="cannot be read"):
        send(live, web_channel("slack", server.url, ca_file=certificate / "no"), id="3")
    assert len(server.received) == 1


@pytest.mark.covers("C-006")
def test_slack_shows_untrusted_words_and_does_not_obey_them(
    live: LiveRun, receiver: Receiver
) -> None:
    send(
        live,
        web_channel("slack", receiver.url),
        title="<!channel> pay <http://evil.example|here> & now",
        text="@channel and (@here), mail ada@company.example\n<@U123> \u202eevil\x07",
    )
    [request] = receiver.received
    assert request.headers["content-type"] == "application/json"
    told = document(request.body.decode())
    assert told == {
        "text": "*&lt;!channel&gt; pay &lt;http://evil.example|here&gt; &amp; now*\n"
        "@\u2060channel and (@\u2060here), mail ada@company.example\n"
        "&lt;@\u2060U123&gt; evil\n"
        "<https://host.example/r?a=1&amp;b=2|The report>",
        "unfurl_links": False,
        "unfurl_media": False,
    }


def test_a_web_hook_is_signed_so_that_anybody_with_the_secret_can_check_it(
    live: LiveRun, receiver: Receiver
) -> None:
    send(live, web_channel("webhook", receiver.url), title="Grüße \U0001f6a8")
    [request] = receiver.received
    headers = request.headers
    # Written anew from the scheme's text, so that it does not share our library's errors.
    signed = b".".join(
        [headers["webhook-id"].encode(), headers["webhook-timestamp"].encode(), request.body]
    )
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    wanted = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{wanted}"
    assert headers["webhook-id"] == "0f3c"
    told = document(request.body.decode())
    assert (told["type"], told["timestamp"]) == ("roundsman.opened", "2026-05-04T10:30:00Z")
    assert told["data"] == message(title="Grüße \U0001f6a8").model_dump(mode="json")


@pytest.mark.parametrize("secret", ["whsec_c2hvcnQ=", "whsec_!!!", "plain words", "whsec_"])
def test_a_secret_that_would_not_protect_is_refused(secret: str) -> None:
    with pytest.raises(ValueError, match="is no secret of Standard Webhooks"):
        web_channel("webhook", "http://127.0.0.1:1", secret=secret)


@pytest.mark.covers("C-006")
@pytest.mark.parametrize(
    ("event", "action"),
    [
        ("opened", "trigger"),
        ("worsened", "trigger"),
        ("reopened", "trigger"),
        ("reminder", "trigger"),
        ("acknowledged", "acknowledge"),
        ("resolved", "resolve"),
    ],
)
def test_an_alert_follows_its_finding(
    live: LiveRun, receiver: Receiver, event: Any, action: str
) -> None:
    receipt = send(live, web_channel("pagerduty", receiver.url), event=event)
    [request] = receiver.received
    told = document(request.body.decode())
    assert request.path == "/v2/enqueue"
    assert (told["routing_key"], told["event_action"]) == (ROUTING_KEY, action)
    assert told["dedup_key"] == receipt.reference == "ab12"
    if action == "trigger":
        assert told["payload"] == {
            "summary": "[high] 132 mails are missing in the warehouse",
            "source": "analytics.emails",
            "severity": "error",
            "timestamp": AT.isoformat(),
            "component": "warehouse_health/emails-prod",
            "custom_details": {"text": message().text, "missing": 132},
        }
        assert told["links"] == [{"href": "https://host.example/r?a=1&b=2", "text": "The report"}]


def test_nobody_is_called_for_a_report(live: LiveRun, receiver: Receiver) -> None:
    with pytest.raises(Mistake, match="takes findings, and .* is a report"):
        send(live, web_channel("pagerduty", receiver.url), event="report")
    assert receiver.received == []


@pytest.mark.parametrize(
    "url",
    [
        *(
            "hooks.example",
            "ftp://a/b",
            "http://",
            "https://a b/",
            "http://a:99999/",
            "http://a:0/",
        ),
        *("https://me:pw@a/", "https://me@a/", "https://a/#b", "https://a/\n", "http://[::1/"),
    ],
)
@pytest.mark.parametrize("kind", [SlackNotify, WebhookNotify, PagerDutyNotify])
def test_an_address_that_is_none_is_refused(kind: Any, url: str) -> None:
    rest = {"secret": SECRET, "routing_key": ROUTING_KEY}
    fields = {name: value for name, value in rest.items() if name in kind.model_fields}
    with pytest.raises(ValueError, match=r"is no address|leave them out"):
        kind(url=url, **fields)


def test_links_that_are_no_web_addresses_are_refused() -> None:
    for url in ("javascript:alert(1)", "https://a/|b", "https://a/>", "https://a/ b", "https://ä/"):
        with pytest.raises(ValueError, match="write it as http"):
            Link(text="here", url=url)
