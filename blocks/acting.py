"""What every block that changes the outside owes its permits."""

from __future__ import annotations

from abc import ABC
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, ClassVar

from prefect.blocks.core import Block

from roundsman.errors import Unready
from roundsman.permits import NotSent
from roundsman.store.records import Json


class ActingBlock(Block, ABC):
    """A block some of whose methods are declared with `roundsman.permits.effect`.

    What can be undone has a method `undo_<verb>(kept, *, permit)`, an effect itself.
    """

    # verb: in plain words, why its effect cannot be undone, and what a person could do instead.
    NO_UNDO: ClassVar[dict[str, str]] = {}

    def current_facts(self, names: tuple[str, ...]) -> Json:
        """What a permit's precondition is compared with, right before the effect."""
        return {}

    def confirm(self, key: str) -> Any:
        """The effect's answer where the outside shows that it took place, else None."""
        return None

    def keep_for_undo(self, action: str, payload: Json, key: str) -> Json | None:
        """What would undo the effect, taken right before it; None where nothing could."""
        return None

    def preview_undo(self, action: str, kept: Json) -> str:
        """What undoing an effect would do, and what would be lost by it, in words.

        Changes nothing. Refused where `undo_<verb>` would be; `kept` is what that is given.
        """
        return f"'{action}' would be undone"


@contextmanager
def not_begun() -> Generator[None]:
    """What does not answer before anything was changed leaves the right to the effect unused."""
    try:
        yield
    except Unready as error:
        raise NotSent(error.said, error.remedy, status=error.status) from error
