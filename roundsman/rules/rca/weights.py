"""How much each sign of a turn speaks for it having decided the run."""

from __future__ import annotations

# Conditional logit (D. McFadden, Conditional logit analysis of qualitative choice behavior, 1974):
# of a run's turns the decisive one is drawn with odds exp(sum of weight times sign). Estimated by
# `bench.rca` from runs whose decisive step people named, or a fault was put in; of some 200 signs
# the 38 that carry the result were kept. Signs and shapes are those of `turns`.
WEIGHTS: dict[str, float] = {
    "after_answer": -0.44,
    "after_failure": -1.24,
    "after_giving_up": -0.42,
    "assumes_without_call": 0.75,
    "calls": 0.75,
    "code": 0.82,
    "first_call": -0.39,
    "last": -0.38,
    "last_but_one": -0.38,
    "length": 1.48,
    "most_active": 0.36,
    "most_active_begins": -0.36,
    "new_agent": 0.77,
    "off_task": 0.81,
    "opens": -1.83,
    "order_log": -0.76,
    "order_share": -0.43,
    "reads_out": 1.47,
    "repeats": -0.34,
    "second": -0.91,
    "user": -0.44,
    "user_late": 1.29,
    "user_opens": -0.9,
    "chat.concludes": -1.26,
    "chat.order_log": 0.61,
    "chat.verifies_without_call": -1.64,
    "led.assumes": -0.98,
    "led.code": -0.82,
    "led.concludes": 0.67,
    "led.order_share": 0.91,
    "solo.order_log": -0.56,
    "talk.first_worker": 0.74,
    "talk.last": -0.82,
    "talk.opener": -0.98,
    "team.after_answer": -1.19,
    "team.calls": 0.79,
    "team.gives_up": 1.21,
    "team.last": 0.8,
}
