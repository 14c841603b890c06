"""Which systems there are: systems.yaml, read, validated and made into blocks."""

from __future__ import annotations

import hashlib
import importlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, cast, get_args

from prefect.blocks.core import Block
from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError

from blocks import system_values as values
from roundsman.errors import Mistake
from roundsman.rules.redaction import register_secret
from roundsman.settings import environment, get_settings

Role = Literal["search", "warehouse", "transform", "notify"]

# role: kind: where the block's class is. Imported when a system of that kind is read.
KINDS: dict[Role, dict[str, str]] = {
    "search": {
        "sqlite": "blocks.search:SqliteSearch",
        "elasticsearch": "blocks.search:ElasticsearchSearch",
    },
    "warehouse": {
        "duckdb": "blocks.warehouse:DuckdbWarehouse",
        "bigquery": "blocks.warehouse:BigQueryWarehouse",
    },
    "transform": {"dbt": "blocks.transform:DbtTransform"},
    "notify": {
        "outbox": "blocks.notify:OutboxNotify",
        "slack": "blocks.notify:SlackNotify",
        "email": "blocks.notify:EmailNotify",
        "webhook": "blocks.notify:WebhookNotify",
        "pagerduty": "blocks.notify:PagerDutyNotify",
    },
}
SYSTEM_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
HASH_LETTERS = 16


class System(BaseModel):
    """One entry of systems.yaml, its references not yet looked up."""

    model_config = ConfigDict(frozen=True)

    role: Role
    name: str
    kind: str
    options: dict[str, Any]

    @property
    def where(self) -> str:
        """How messages name it."""
        return f"{self.role}.{self.name}"


class Systems(BaseModel):
    """All systems of a file, by role and name."""

    model_config = ConfigDict(frozen=True)

    path: Path
    search: dict[str, System] = {}
    warehouse: dict[str, System] = {}
    transform: dict[str, System] = {}
    notify: dict[str, System] = {}

    def of(self, role: Role) -> dict[str, System]:
        """The systems of one role."""
        return {
            "search": self.search,
            "warehouse": self.warehouse,
            "transform": self.transform,
            "notify": self.notify,
        }[role]

    def all(self) -> list[System]:
        """Every system, in the order of the roles and of the file."""
        return [system for role in get_args(Role) for system in self.of(role).values()]


def read_systems(path: Path) -> Systems:
    """The validated file; Mistake names the file, the key and what would be right.

    An entry whose references have no value here is checked as far as it goes: systems that are
    not used need no secrets.
    """
    content = values.read_yaml(path)
    roles = get_args(Role)
    for role in content:
        if role not in roles:
            raise Mistake(f"'{path}': '{role}' is no role", f"use {', '.join(roles)}")
    found = {
        role: {name: _read_entry(path, role, name, entry) for name, entry in entries.items()}
        for role in roles
        for entries in [_mapping_at(path, role, content.get(role))]
    }
    systems = Systems.model_validate({"path": path, **found})
    for system in systems.all():
        if not values.missing_variables(system.options, environment()):
            _make(path, system, environment())
    return systems


def list_systems() -> list[System]:
    """Every system of the configured file."""
    return read_systems(get_settings().systems).all()


def load_system(role: Role, name: str) -> Block:
    """The block of one system, its references looked up; Mistake when it is not there."""
    path = get_settings().systems
    known = read_systems(path).of(role)
    if name not in known:
        names = ", ".join(known) or "none"
        raise Mistake(f"'{path}': there is no {role} named '{name}'", f"known: {names}")
    return _make(path, known[name], environment())


def configuration_hash(block: Block) -> str:
    """A fingerprint of a block's configuration without its secrets."""
    plain = {
        field: value
        for field in sorted(type(block).model_fields)
        if not isinstance(value := getattr(block, field), SecretStr)
    }
    told = json.dumps([type(block).__name__, plain], sort_keys=True, default=str)
    return hashlib.sha256(told.encode()).hexdigest()[:HASH_LETTERS]


async def copy_to_prefect() -> list[str]:
    """Copy every system whose references have values into a block document for Prefect's UI.

    Secrets are left out and the copies are never read back. Returns the documents' names.
    """
    path = get_settings().systems
    documents: list[str] = []
    for system in read_systems(path).all():
        if values.missing_variables(system.options, environment()):
            continue
        block = _make(path, system, environment())
        secrets = values.secret_fields(type(block))
        copy = block.model_copy(update=dict.fromkeys(secrets))
        document = f"{system.role}-{system.name}".replace("_", "-")
        await copy.asave(document, overwrite=True)
        documents.append(f"{type(block).get_block_type_slug()}/{document}")
    return documents


def _mapping_at(path: Path, where: str, found: Any) -> dict[str, Any]:
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise Mistake(f"'{path}': {where} is no mapping", "write 'name: {kind: ...}' below it")
    return {str(key): value for key, value in cast("dict[object, Any]", found).items()}


def _read_entry(path: Path, role: Role, name: str, entry: Any) -> System:
    where = f"{role}.{name}"
    if not SYSTEM_NAME.fullmatch(name):
        raise Mistake(
            f"'{path}': '{name}' in {role} is no name for a system",
            "use lower-case letters, digits, '-' and '_'",
        )
    options = _mapping_at(path, where, entry)
    kind = options.pop("kind", None)
    kinds = KINDS[role]
    if not isinstance(kind, str) or kind not in kinds:
        said = "has no 'kind'" if kind is None else f"has the unknown kind '{kind}'"
        raise Mistake(f"'{path}': {where} {said}", f"known: {', '.join(kinds)}")
    block = block_class(role, kind)
    known = sorted(set(block.model_fields) - set(Block.model_fields) - {"kind"})
    for key in options:
        if key not in known:
            raise Mistake(
                f"'{path}': {where} has the unknown key '{key}'",
                f"{kind} knows: {', '.join(['kind', *known])}",
            )
    for key in values.secret_fields(block):
        values.check_reference(path, f"{where}.{key}", options.get(key))
    return System(role=role, name=name, kind=kind, options=options)


def block_class(role: Role, kind: str) -> type[Block]:
    """The block's class; importing it imports no vendor's library."""
    module, name = KINDS[role][kind].split(":")
    return cast("type[Block]", getattr(importlib.import_module(module), name))


def _make(path: Path, system: System, variables: Mapping[str, str]) -> Block:
    block = block_class(system.role, system.kind)
    options = values.look_up(path, system.where, system.options, variables)
    for field in values.path_fields(block):
        if isinstance(options.get(field), str):
            options[field] = values.locate(path, f"{system.where}.{field}", options[field])
    for field in values.secret_fields(block):
        if options.get(field):
            register_secret(str(options[field]))
    try:
        return block.model_validate(options)
    except ValidationError as error:
        raise Mistake(*values.first_error(path, system.where, error)) from None
