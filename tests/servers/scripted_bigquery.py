"""A BigQuery whose every answer is written down: for scanned bytes, caps, labels, slow jobs."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.servers.scripted import Reply, Request, Scripted

PROJECT = "acme"

COLUMNS = {"id": "STRING", "received_at": "TIMESTAMP", "row_hash": "INTEGER", "folder": "STRING"}


def table(columns: dict[str, str] | None = None, **more: Any) -> dict[str, Any]:
    """What tables.get answers."""
    fields = [{"name": name, "type": kind} for name, kind in (columns or COLUMNS).items()]
    return {
        "kind": "bigquery#table",
        "tableReference": {"projectId": PROJECT, "datasetId": "shop", "tableId": "orders"},
        "type": "TABLE",
        "numRows": "1000",
        "numBytes": "64000",
        "schema": {"fields": fields},
        **more,
    }


def error(status: int, reason: str, message: str = "said no") -> Reply:
    """How BigQuery says no."""
    details = [{"reason": reason, "message": message}]
    return Reply({"error": {"code": status, "message": message, "errors": details}}, status)


@dataclass
class Script:
    """The answers of a BigQuery: `rows` of a query by a word in its text, one table, one price."""

    table: dict[str, Any] = field(default_factory=table)
    rows: dict[str, tuple[Sequence[str], Sequence[Sequence[Any]]]] = field(default_factory=dict)
    bytes_scanned: int = 8_000
    statement: str = "SELECT"
    states: list[str] = field(default_factory=lambda: ["DONE"])
    failure: tuple[str, str] | None = None
    page_rows: int | None = None
    refuse: Callable[[Request], Reply | None] = lambda _: None
    cancelled: threading.Event = field(default_factory=threading.Event)
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)

    def answer(self, request: Request) -> Reply | None:
        """One request's answer."""
        refused = self.refuse(request)
        if refused is not None:
            return refused
        path = request.path
        if path.endswith("/jobs") and request.method == "POST":
            return self._insert(request.json())
        if path.endswith("/cancel"):
            self.cancelled.set()
            return Reply(
                {"kind": "bigquery#jobCancelResponse", "job": self._job(path.split("/")[-2])}
            )
        if "/queries/" in path:
            return self._results(path.rsplit("/", 1)[1], request.query)
        if "/jobs/" in path:
            return Reply(self._job(path.rsplit("/", 1)[1]))
        if "/tables/" in path and request.method == "GET":
            return Reply(self.table)
        return None

    def _insert(self, job: dict[str, Any]) -> Reply:
        reference = job.setdefault("jobReference", {"jobId": f"dry-{len(self.jobs)}"})
        self.jobs[reference["jobId"]] = job
        if job["configuration"].get("dryRun"):
            return Reply(self._with_statistics(job, "DONE"))
        return Reply(self._with_statistics(job, "RUNNING"))

    def _job(self, job_id: str) -> dict[str, Any]:
        state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        job = self._with_statistics(self.jobs[job_id], state)
        if self.failure and state == "DONE":
            reason, message = self.failure
            job["status"]["errorResult"] = {"reason": reason, "message": message}
        return job

    def _with_statistics(self, job: dict[str, Any], state: str) -> dict[str, Any]:
        query = {"statementType": self.statement, "totalBytesProcessed": str(self.bytes_scanned)}
        times = {"creationTime": "1790000000000", "startTime": "1790000000000"}
        return job | {
            "status": {"state": state},
            "statistics": {"query": query, "totalBytesProcessed": str(self.bytes_scanned), **times},
        }

    def _results(self, job_id: str, asked: dict[str, str]) -> Reply:
        text = self.jobs[job_id]["configuration"]["query"]["query"]
        word = next((word for word in self.rows if word in text), None)
        names, rows = self.rows[word] if word else (["n"], [])
        fields = [{"name": name, "type": _type(rows, i)} for i, name in enumerate(names)]
        first = int(asked.get("pageToken") or 0)
        size = self.page_rows or int(asked.get("maxResults") or 0) or len(rows) or 1
        body: dict[str, Any] = {
            "jobComplete": True,
            "jobReference": {"projectId": PROJECT, "jobId": job_id},
            "schema": {"fields": fields},
            "totalRows": str(len(rows)),
            "rows": [_row(row) for row in rows[first : first + size]],
        }
        if first + size < len(rows):
            body["pageToken"] = str(first + size)
        return Reply(body)

    def queries(self, server: Scripted) -> list[dict[str, Any]]:
        """The configurations of the jobs that ran, without the dry runs."""
        return [job for job in self.configurations(server) if not job.get("dryRun")]

    def configurations(self, server: Scripted) -> list[dict[str, Any]]:
        """The configurations of all jobs, in order."""
        inserted = [r for r in server.asked("/jobs") if r.method == "POST"]
        return [json.loads(request.body)["configuration"] for request in inserted]


def _type(rows: Sequence[Sequence[Any]], index: int) -> str:
    value = rows[0][index] if rows else None
    return "INTEGER" if isinstance(value, int) else "STRING"


def _row(values: Sequence[Any]) -> dict[str, Any]:
    return {"f": [{"v": None if value is None else str(value)} for value in values]}
