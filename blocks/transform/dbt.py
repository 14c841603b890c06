"""The transformation in a dbt project: its artifacts are read, and dbt itself runs in a child."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from blocks.patience import at_most
from blocks.transform import copies
from blocks.transform.artifacts import (
    ACTION_MARK,
    MARK_PREFIX,
    NODES_MARK,
    RUNNING,
    Manifest,
    RunResults,
    Sources,
    count_models,
    node_kind,
    node_name,
    read_artifact,
)
from blocks.transform.build import PLAIN, not_begun, what_became
from blocks.transform.child import Finished, listed_ids, meaning, run_dbt
from blocks.transform.contract import BuildFailed, Transform
from blocks.transform.project import Project, find_project, mentions_freshness
from blocks.warehouse.lease import held
from roundsman.budget import spend
from roundsman.errors import Cancelled, Mistake, Refused, Unready
from roundsman.permits import Permit, effect
from roundsman.rules.build import BUILT_KINDS, BlastRadius, BuildResult
from roundsman.rules.pulse import PulseReading, SourceFreshness
from roundsman.rules.windows import Probe
from roundsman.settings import environment, get_settings
from roundsman.store.records import Json

SELECTORS_MAX = 100


class DbtTransform(Transform):
    """A dbt project on this machine; reading it writes nothing into its folder, building does."""

    _block_type_name = "Transformation by dbt"
    _block_type_slug = "dbt-transform"
    _description = "A dbt project, run in a process of its own."

    kind: Literal["dbt"] = "dbt"
    project_dir: Path = Field(description="The folder of dbt_project.yml.")
    profiles_dir: Path | None = Field(
        default=None, description="The folder of profiles.yml; unset: the project's own."
    )
    target: str | None = Field(
        default=None, description="The profile's target; unset: its default."
    )
    timeout_seconds: float = Field(
        default=300.0, gt=0, description="After how long a dbt command is ended."
    )
    build_timeout_seconds: float = Field(
        default=3_600.0, gt=0, description="After how long a dbt build is ended."
    )

    NO_UNDO: ClassVar[dict[str, str]] = {
        "build": "no copy of what it built anew was kept; restore the tables from a backup or by "
        "the warehouse's own time travel"
    }

    @property
    def environment_name(self) -> str:
        """See the contract: the profile's target."""
        return self.environment or self._project().target

    def pulse(self, selectors: Sequence[str] = (), run_freshness: bool = True) -> PulseReading:
        """See the contract: files are read, and dbt is asked once, with selectors twice."""
        _check(selectors)
        project = self._project()
        results = self._results(project)
        sources = self._freshness(project, selectors) if run_freshness else None
        command = results.args.which if results else None
        if results is None or (command is not None and command not in RUNNING):
            said = f"the last dbt command was '{command}'" if command else "dbt has not run yet"
            note = f"{said}: no results of a run in '{project.target_folder}'"
            return PulseReading(command=command, sources=sources, notes=(note,))
        chosen = self._chosen(project, selectors) if selectors else None
        return PulseReading(
            ran_at=results.ran_at,
            command=command,
            duration_seconds=results.elapsed_time,
            nodes=results.nodes(chosen),
            sources=sources,
            notes=_notes(project, results, chosen),
        )

    def probe(self) -> Probe:
        """See the contract: dbt's own check of project, profile and connection."""
        project = self._project()
        done = self._run(project, ["debug"])
        if done.code:
            raise meaning("dbt debug", done.error or "failed without a word")
        return Probe(
            reachable=True,
            version=f"dbt {version('dbt-core')}",
            can_write=True,
            notes=(f"project '{self.project_dir}'", "dbt builds with these credentials"),
        )

    def blast_radius(self, selectors: Sequence[str] = ()) -> BlastRadius:
        """See the contract: dbt says what is selected, its manifest what hangs on that."""
        _check(selectors)
        selected, reached = self._reach(self._project(), selectors)
        return BlastRadius(
            selected=_names(selected),
            downstream=_names(each for each in reached if node_kind(each) in BUILT_KINDS),
            exposures=_names(each for each in reached if each.startswith("exposure.")),
        )

    @effect("askable")
    def build(
        self, selectors: Sequence[str] = (), full_refresh: bool = False, *, permit: Permit
    ) -> BuildResult:
        """See the contract: `dbt build`, whose results bear the permit's key."""
        _check(selectors)
        project = self._project()
        what = f"dbt build of '{project.folder}'"
        with ExitStack() as alone:
            with not_begun():
                selected, _ = self._reach(project, selectors)
                spend(what)
                alone.enter_context(self._alone(project))
            arguments = ["build", *PLAIN, *(["--full-refresh"] if full_refresh else [])]
            arguments += ["--select", *selectors] if selectors else []
            done = self._build_alone(project, arguments, (permit.key, len(selected)))
        return what_became(what, done, self._result_of(project, permit.key))

    def confirm(self, key: str) -> BuildResult | None:
        """See the contract; a build that ended, but not whole, is a BuildFailed here too."""
        project = self._project()
        built = self._result_of(project, key)
        if built is not None and not built.success:
            raise BuildFailed(f"dbt build of '{project.folder}'", built)
        return built

    def _result_of(self, project: Project, key: str) -> BuildResult | None:
        """dbt writes the key that a build was given into its results."""
        results = self._results(project)
        return results.build_of(key) if results else None

    def current_facts(self, names: tuple[str, ...]) -> Json:
        """See the contract; a fact that it does not know is left out."""
        if "last_build_at" not in names:
            return {}
        results = self._results(self._project())
        ran = results is not None and results.args.which in (None, *RUNNING)
        return {"last_build_at": results.ran_at.isoformat() if results and ran else None}

    def keep_for_undo(self, action: str, payload: Json, key: str) -> Json | None:
        """A copy of the DuckDB file that a build is about to change; elsewhere there is none."""
        project = self._project()
        if action != "build" or project.duckdb_file is None:
            return None
        with not_begun(), held(project.duckdb_file):
            kept = copies.keep(project.duckdb_file, self._scratch(project) / "before", key)
        return kept.model_dump(mode="json") if kept else None

    def preview_undo(self, action: str, kept: Json) -> str:
        """See ActingBlock: the whole file is put back, not only what a build made."""
        copy, done_at = _copy_of(kept)
        return copies.preview(copy, done_at)

    @effect("repeatable")
    def undo_build(self, kept: Json, *, permit: Permit) -> str:
        """Put the DuckDB file back as it was before a build, unless it was changed since."""
        copy, done_at = _copy_of(kept)
        project = self._project()
        with ExitStack() as alone:
            with not_begun():
                alone.enter_context(self._alone(project))
            put = copies.put_back(copy, done_at)
        return f"'{put.file}' is as it was before the build"

    def is_source(self, table: str) -> bool:
        """See the contract: the manifest that dbt left last says so."""
        project = self._project()
        for folder in (self._scratch(project), project.target_folder):
            manifest = read_artifact(folder / "manifest.json", Manifest)
            if manifest is not None:
                return manifest.is_source(table)
        return False

    def _results(self, project: Project) -> RunResults | None:
        return read_artifact(project.target_folder / "run_results.json", RunResults)

    def _reach(
        self, project: Project, selectors: Sequence[str]
    ) -> tuple[frozenset[str], frozenset[str]]:
        """The selected nodes that can be built, and all that hangs on them; dbt is asked once."""
        with self._alone(project):
            chosen = self._chosen_alone(project, selectors)
            # `dbt ls` leaves the manifest that it chose by.
            manifest = read_artifact(self._scratch(project) / "manifest.json", Manifest)
        selected = manifest.to_build(chosen) if manifest else frozenset[str]()
        if manifest is None or not selected:
            named = ", ".join(f"'{selector}'" for selector in selectors) or "no selectors"
            raise Refused(
                f"dbt ls of '{project.folder}' finds nothing to build by {named}",
                "name models, seeds or snapshots that the project has",
            )
        return selected, manifest.downstream(selected)

    def _build_alone(
        self, project: Project, arguments: Sequence[str], marks: tuple[str, int]
    ) -> Finished:
        """Run a build; one that is stopped half-way is Unready, because nobody knows its end."""
        mine = {
            "DBT_TARGET_PATH": str(project.target_folder),
            MARK_PREFIX + ACTION_MARK: marks[0],
            MARK_PREFIX + NODES_MARK: str(marks[1]),
        }
        try:
            return self._run_alone(project, arguments, mine)
        except Cancelled as error:
            raise Unready(f"dbt build of '{project.folder}' was ended: {error.said}") from error

    def _project(self) -> Project:
        folder = self.project_dir.expanduser().absolute()
        profiles = self.profiles_dir.expanduser().absolute() if self.profiles_dir else folder
        return find_project(folder, profiles, self.target, environment())

    def _freshness(self, project: Project, selectors: Sequence[str]) -> tuple[SourceFreshness, ...]:
        """How old the sources are, of the selected nodes' ancestors where there are selectors."""
        if not mentions_freshness(project.folder):
            return ()
        found = self._scratch(project) / "sources.json"
        arguments = ["source", "freshness"]
        if selectors:
            arguments += ["--select", *(_with_ancestors(selector) for selector in selectors)]
        what = f"dbt source freshness of '{project.folder}'"
        spend(what)
        with self._alone(project):
            found.unlink(missing_ok=True)
            done = self._run_alone(project, arguments)
            sources = read_artifact(found, Sources)
        if sources is None:
            if done.code:
                raise meaning(what, done.error or "failed without a word")
            return ()  # nothing was selected
        fresh = sources.freshness()
        for source in fresh:
            if source.message and "lock" in source.message.lower():
                raise meaning(what, source.message)
        return fresh

    def _chosen(self, project: Project, selectors: Sequence[str]) -> frozenset[str]:
        with self._alone(project):
            return self._chosen_alone(project, selectors)

    def _chosen_alone(self, project: Project, selectors: Sequence[str]) -> frozenset[str]:
        """The ids of the selected nodes, by dbt's own reading of the selectors."""
        what = f"dbt ls of '{project.folder}'"
        spend(what)
        keys = ["--output", "json", "--output-keys", "unique_id"]
        chosen = ["--select", *selectors] if selectors else []
        done = self._run_alone(project, ["ls", "--quiet", *keys, *chosen])
        if done.code:
            raise meaning(what, done.error or "failed without a word")
        return frozenset(listed_ids(done.plain))

    def _run(self, project: Project, arguments: Sequence[str]) -> Finished:
        with self._alone(project):
            return self._run_alone(project, arguments)

    def _run_alone(
        self, project: Project, arguments: Sequence[str], more: Mapping[str, str] | None = None
    ) -> Finished:
        """Run dbt with our scratch folder as its target, unless `more` variables say otherwise."""
        scratch = str(self._scratch(project))
        places = ["--project-dir", str(project.folder), "--profiles-dir", str(project.profiles)]
        target = ["--target", self.target] if self.target else []
        mine = {
            name: value
            for name, value in environment().items()
            if not name.startswith(("PREFECT_", "ROUNDSMAN_"))
        }
        mine |= {"DBT_TARGET_PATH": scratch, "DBT_LOG_PATH": scratch} | dict(more or {})
        is_build = arguments[0] == "build"
        longest = self.build_timeout_seconds if is_build else self.timeout_seconds
        return run_dbt([*arguments, *places, *target], project.folder, mine, at_most(longest))

    @contextmanager
    def _alone(self, project: Project) -> Generator[None]:
        """Nobody else in our folder for this project, nor in the DuckDB file that dbt will lock."""
        file = project.duckdb_file
        with held(self._scratch(project)), held(file) if file else nullcontext():
            yield

    def _scratch(self, project: Project) -> Path:
        """A target folder of our own: a read leaves the results of the last run as they are."""
        key = f"{project.folder}\n{project.profiles}\n{self.target}"
        name = hashlib.sha256(key.encode()).hexdigest()[:16]
        folder = get_settings().home / "dbt" / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder


def _copy_of(kept: Json) -> tuple[Json, datetime]:
    """The copy of a file, and until when the file may have been changed by what is undone."""
    copy = {name: value for name, value in kept.items() if name != "done_at"}
    return copy, datetime.fromisoformat(kept["done_at"])


def _names(ids: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(map(node_name, ids)))


def _check(selectors: Sequence[str]) -> None:
    """A Mistake for what is no selector: it stands on dbt's command line."""
    if len(selectors) > SELECTORS_MAX:
        raise Mistake(
            f"{len(selectors)} dbt selectors are too many", f"give at most {SELECTORS_MAX}"
        )
    for selector in selectors:
        if not selector.strip() or selector.startswith("-") or "\n" in selector:
            raise Mistake(f"'{selector}' is not a dbt selector", "write one such as 'tag:daily'")


def _with_ancestors(selector: str) -> str:
    """The selector with all that its nodes are built from, where the sources are."""
    return selector if selector[0] in "+@" or selector[0].isdigit() else f"+{selector}"


def _notes(project: Project, results: RunResults, chosen: frozenset[str] | None) -> tuple[str, ...]:
    notes: list[str] = []
    if chosen is not None and not chosen:
        notes.append("the selectors match no node of the project")
    models = count_models(project.target_folder / "manifest.json")
    ran = sum(node.kind == "model" for node in results.nodes(None))
    if models and ran < models:
        notes.append(f"the last run touched {ran} of {models} models")
    return tuple(notes)
