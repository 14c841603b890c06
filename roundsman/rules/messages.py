"""What a message says: its record, clean and bounded, and the templates that make its words."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, NamedTuple, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from roundsman.rules.plain_text import clean_line, clean_text, cut
from roundsman.rules.reasons import Reason
from roundsman.rules.redaction import redact, redact_text
from roundsman.rules.templates import Part, TemplateFault, render_template

Severity = Literal["critical", "high", "medium", "low", "info"]
Event = Literal[
    "opened", "worsened", "resolved", "reopened", "acknowledged", "reminder", "asked", "report"
]

TITLE_CHARACTERS_MAX = 200
TEXT_CHARACTERS_MAX = 6_000
LINE_CHARACTERS_MAX = 500
URL_CHARACTERS_MAX = 2_000
LINKS_MAX = 10
REASONS_MAX = 20
DETAILS_BYTES_MAX = 16_000
ID_LETTERS = 32

TITLES: dict[Event, str] = {
    "opened": "[{{ severity }}] {{ said }}",
    "worsened": "[{{ severity }}, worse than before] {{ said }}",
    "reopened": "[{{ severity }}, again] {{ said }}",
    "reminder": "[{{ severity }}, still] {{ said }}",
    "acknowledged": "[acknowledged] {{ said }}",
    "resolved": "[resolved] {{ said }}",
    "asked": "[asked] {{ said }}",
    "report": "{{ said }}",
}
_TEXT = """\
{% if subject %}About: {{ subject }}
{% endif %}
{% for reason in reasons %}
- {{ reason.quote }}
{% endfor %}
{% if more_reasons %}- and {{ more_reasons }} more
{% endif %}
{% if opened_at %}Since: {{ opened_at }}
{% endif %}
{% if owner %}Owner: {{ owner }}
{% endif %}
{{ told_by }} {{ source }} at {{ at }}{% if run_id %}, run {{ run_id }}{% endif %}

{% if fingerprint %}More: roundsman findings show {{ fingerprint }}
{% endif %}
"""
_ASKED = """\
{% if what %}To be done: {{ what }}
{% endif %}
{% for reason in reasons %}
- {{ reason.quote }}
{% endfor %}
Answer: roundsman approvals approve {{ action_id }}, or deny {{ action_id }}
{% if approvers %}Who may answer: {{ approvers }}
{% endif %}
{% if expires_at %}Until: {{ expires_at }}
{% endif %}
{{ told_by }} {{ source }} at {{ at }}{% if run_id %}, run {{ run_id }}{% endif %}

"""
TEXTS: dict[Event, str] = {
    event: _ASKED if event == "asked" else _TEXT for event in get_args(Event)
}
# Of a problem that is over, its end was seen and not the problem.
TOLD_BY: dict[Event, str] = {
    "resolved": "Found gone by",
    "asked": "Asked for by",
}


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _title(text: str) -> str:
    line = clean_line(text, TITLE_CHARACTERS_MAX)
    if not line:
        raise ValueError("a message needs a title")
    return line


def _line(text: str) -> str:
    return clean_line(text, LINE_CHARACTERS_MAX)


def _text(text: str) -> str:
    return clean_text(text, TEXT_CHARACTERS_MAX)


def _web_address(url: str) -> str:
    plain = url.isascii() and url.isprintable() and not set(url) & set(' <>"|\\^`{}')
    if not plain or not url.startswith(("http://", "https://")):
        raise ValueError("write it as http://... or https://..., other letters %-encoded")
    return url


def _details(details: dict[str, Any]) -> dict[str, Any]:
    told = json.dumps(details, default=str, allow_nan=False)
    if len(told) > DETAILS_BYTES_MAX:
        return {"cut": f"{len(told)} bytes of details, {DETAILS_BYTES_MAX} are sent"}
    return json.loads(told)


Line = Annotated[str, AfterValidator(_line)]


class Link(_Record):
    """Where more can be read."""

    text: Line
    url: Annotated[str, Field(max_length=URL_CHARACTERS_MAX), AfterValidator(_web_address)]


class Message(_Record):
    """What is sent; whoever wrote the words, they come without control characters and bounded.

    `id` is the same whenever the same thing is told. `dedup_key` is what all messages about one
    problem share: a finding's fingerprint.
    """

    id: str = Field(pattern=r"^[A-Za-z0-9_:-]{1,128}$")
    title: Annotated[str, AfterValidator(_title)]
    text: Annotated[str, AfterValidator(_text)] = ""
    severity: Severity
    event: Event
    subject: Line = ""
    source: Line
    links: tuple[Link, ...] = Field(default=(), max_length=LINKS_MAX)
    dedup_key: str = Field(default="", pattern=r"^[A-Za-z0-9_:-]{0,128}$")
    at: datetime
    details: Annotated[dict[str, Any], BeforeValidator(_details)] = {}


class Receipt(_Record):
    """What the other side said when it took a message; `reference` is its or our name for it."""

    place: str
    reference: str
    said: str = ""
    at: datetime


class Topic(_Record):
    """What a message is about: a finding that changed, a request, a report; templates name its
    fields.

    `occasion` is what makes this message another one than the last about the same problem, for
    example when it opened; the run that happens to tell it does not belong in it.
    """

    event: Event
    severity: Severity
    said: str
    agent: str
    at: datetime
    occasion: str = ""
    subject: str = ""
    kind: str = ""
    round: str | None = None
    run_id: str = ""
    fingerprint: str = ""
    owner: str | None = None
    opened_at: datetime | None = None
    times_seen: int = 1
    reasons: tuple[Reason, ...] = ()
    links: tuple[Link, ...] = ()
    details: dict[str, Any] = {}
    # Of an action that waits for an answer.
    what: str = ""
    action_id: str = ""
    expires_at: datetime | None = None
    approvers: str = ""

    @property
    def source(self) -> str:
        """Agent and round, as everywhere."""
        return f"{self.agent}/{self.round}" if self.round else self.agent

    @property
    def message_id(self) -> str:
        """The same for the same event of the same problem on the same occasion."""
        parts = [self.source, self.fingerprint, self.subject, self.event, self.occasion]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:ID_LETTERS]


def run_on(page: str, run_id: str) -> str:
    """The address at which the page shows a run."""
    return f"{page.rstrip('/')}/#/runs/{run_id}"


def links_to(page: str | None, topic: Topic) -> tuple[Link, ...]:
    """Where the page shows what is told; its addresses name no run that merely happens to tell it.

    `page` is the page's own address, http(s) and ASCII.
    """
    if page is None:
        return ()
    views = {"asked": {"answer it": "approvals", "the run": f"runs/{topic.run_id}"}}
    told = views.get(topic.event, {"the findings": "findings"})
    return tuple(Link(text=text, url=f"{page.rstrip('/')}/#/{view}") for text, view in told.items())


class Templates(NamedTuple):
    """A channel's own words; None: ours, by event."""

    title: str | None = None
    text: str | None = None


def render(template: str | None, topic: Topic, part: Part = "text") -> str:
    """The template's words about the topic, without secrets; None: our own template.

    Raises TemplateFault where the template cannot be rendered.
    """
    ours = TITLES if part == "title" else TEXTS
    rendered = render_template(template or ours[topic.event], _fields(topic), part)
    return redact_text(rendered.strip())


def compose(topic: Topic, templates: Templates = Templates()) -> Message:
    """The message about a topic. A template that fails gives way to ours, and the text says so:
    news must not get lost over its wording."""
    title, fault = _render_or_ours(templates.title, topic, "title")
    text, other = _render_or_ours(templates.text, topic, "text")
    notes = [f"({said})" for said in (fault, other) if said]
    return Message(
        id=topic.message_id,
        title=title or topic.event,
        text="\n".join([cut(text, TEXT_CHARACTERS_MAX - LINE_CHARACTERS_MAX), *notes]),
        severity=topic.severity,
        event=topic.event,
        subject=redact_text(topic.subject),
        source=topic.source,
        links=topic.links[:LINKS_MAX],
        dedup_key=topic.fingerprint,
        at=topic.at,
        details=redact(topic.details),
    )


def check_template(template: str, part: Part) -> None:
    """Raise TemplateFault unless the template renders for every event and severity."""
    for topic in _samples():
        render(template, topic, part)


def _render_or_ours(template: str | None, topic: Topic, part: Part) -> tuple[str, str]:
    try:
        return render(template, topic, part), ""
    except TemplateFault as fault:
        return render(None, topic, part), clean_line(f"{part}_template: {fault}", 200)


def _fields(topic: Topic) -> dict[str, Any]:
    """What a template may name: clean text, and lists of it; nothing is None."""
    reasons = topic.reasons[:REASONS_MAX]
    told = {name: _line(getattr(topic, name) or "") for name in _TEXT_FIELDS}
    times = {name: _moment(getattr(topic, name)) for name in ("at", "opened_at", "expires_at")}
    return {
        **told,
        **times,
        "source": _line(topic.source),
        "told_by": TOLD_BY.get(topic.event, "Seen by"),
        "times_seen": topic.times_seen,
        "more_reasons": len(topic.reasons) - len(reasons),
        "reasons": [_reason(reason) for reason in reasons],
        "links": [{"text": link.text, "url": link.url} for link in topic.links[:LINKS_MAX]],
    }


_TEXT_FIELDS = (
    *("event", "severity", "said", "agent", "round", "subject", "kind", "run_id"),
    *("fingerprint", "owner", "what", "action_id", "approvers"),
)


def _reason(reason: Reason) -> dict[str, str]:
    told = reason.model_dump()
    return {name: "" if value is None else _line(str(value)) for name, value in told.items()}


def _moment(at: datetime | None) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if at else ""


def _samples() -> list[Topic]:
    """Topics with as little and as much in them as there can be."""
    at = datetime(2026, 1, 1, tzinfo=UTC)
    bare = Topic(event="opened", severity="info", said="said", agent="agent", at=at)
    full = bare.model_copy(
        update={
            **dict.fromkeys(("round", "subject", "kind", "run_id", "fingerprint", "owner"), "x"),
            **dict.fromkeys(("what", "action_id", "approvers"), "x"),
            **dict.fromkeys(("opened_at", "expires_at"), at),
            "times_seen": 2,
            "reasons": (Reason(signal="s", value=1, threshold=2, quote="q"),) * (REASONS_MAX + 1),
            "links": (Link(text="page", url="https://host.example/page"),),
        }
    )
    changes = [
        {"event": event, "severity": severity}
        for event in get_args(Event)
        for severity in get_args(Severity)
    ]
    return [topic.model_copy(update=change) for change in changes for topic in (bare, full)]
