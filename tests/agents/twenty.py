"""Twenty steps as an agent and as a bare Prefect flow, for the measurement of the difference."""

from __future__ import annotations

import asyncio
import time

from prefect import flow, task

from roundsman.agent import AgentParams, Outcome, agent, step

STEPS = 20


class Params(AgentParams):
    """How long each step takes."""

    seconds: float = 0.0


@step
def work(seconds: float) -> None:
    """Take time."""
    time.sleep(seconds)


steps = [work.named(f"step_{number}") for number in range(STEPS)]


@agent(plan=tuple(made.name for made in steps))
async def told(params: Params) -> Outcome:
    """Take twenty steps."""
    for made in steps:
        await made(params.seconds)
    return Outcome()


@task
async def bare_work(seconds: float) -> None:
    """Take time."""
    await asyncio.to_thread(time.sleep, seconds)


@flow
async def bare(seconds: float) -> None:
    """Take twenty steps without us."""
    for _ in range(STEPS):
        await bare_work(seconds)
