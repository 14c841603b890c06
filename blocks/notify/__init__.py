"""Where people are told: Slack, e-mail, any web hook, PagerDuty, or their twin, a file."""

from blocks.notify.contract import Notify
from blocks.notify.email import EmailNotify
from blocks.notify.outbox import OutboxNotify
from blocks.notify.pagerduty import PagerDutyNotify
from blocks.notify.slack import SlackNotify
from blocks.notify.webhook import WebhookNotify

__all__ = [
    "EmailNotify",
    "Notify",
    "OutboxNotify",
    "PagerDutyNotify",
    "SlackNotify",
    "WebhookNotify",
]
