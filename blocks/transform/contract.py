"""What a transformation can be asked, and the one thing that it can be told to do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from pydantic import Field

from blocks.acting import ActingBlock
from roundsman.errors import Refused
from roundsman.permits import Permit
from roundsman.rules.build import BlastRadius, BuildResult
from roundsman.rules.pulse import PulseReading
from roundsman.rules.windows import Probe
from roundsman.store.records import Json


class BuildFailed(Refused):
    """A build that ended, but not whole: what it did is in `result`."""

    def __init__(self, what: str, built: BuildResult) -> None:
        super().__init__(f"{what}: {built.said}", "mend what failed, then build again")
        self.result: Json = built.model_dump(mode="json")

    @property
    def kind(self) -> str:
        """For steps and reports it is a refusal like any other."""
        return Refused.__name__


class Transform(ActingBlock, ABC):
    """Models that are built from sources, and tests that watch them.

    Of the facts of a precondition it knows `last_build_at`: the end of the last command that ran
    nodes, as ISO text, None where there is none.
    """

    environment: str | None = Field(
        default=None, description="What policy calls the place that it builds, such as production."
    )

    @property
    @abstractmethod
    def environment_name(self) -> str:
        """The environment; where none is named, what the transformation itself calls it."""

    @abstractmethod
    def pulse(self, selectors: Sequence[str] = (), run_freshness: bool = True) -> PulseReading:
        """What the last run left behind, and how fresh the sources are now; changes neither.

        `selectors` narrow both. Unready means try again, Refused a project that cannot be read,
        Misread artifacts in another shape.
        """

    @abstractmethod
    def probe(self) -> Probe:
        """Whether the project and its connection work."""

    @abstractmethod
    def blast_radius(self, selectors: Sequence[str] = ()) -> BlastRadius:
        """What a build of the selected nodes, of all without selectors, would reach.

        Refused where the selectors match nothing that can be built.
        """

    @abstractmethod
    def is_source(self, table: str) -> bool:
        """Whether the project reads this `[project.]dataset.table` and does not build it.

        False where that is not known.
        """

    @abstractmethod
    def build(
        self, selectors: Sequence[str] = (), full_refresh: bool = False, *, permit: Permit
    ) -> BuildResult:
        """Build the selected nodes and run their tests: an effect that is `askable`.

        NotSent where it was not begun, Refused where nothing was built, BuildFailed where some of
        it was, Unready where it was broken off and nobody knows.
        """

    @abstractmethod
    def confirm(self, key: str) -> BuildResult | None:
        """The build of the permit with this key, if the last one was that and ran to its end.

        BuildFailed where it ended, but not whole.
        """
