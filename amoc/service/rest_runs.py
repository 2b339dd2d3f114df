"""REST: running and ended runs."""

from __future__ import annotations

import re
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from html import unescape
from http import HTTPStatus
from pathlib import Path

import gevent
from flask import Response
from flask_openapi3 import OpenAPI, Tag
from pydantic import BaseModel, Field

from amoc.base.clock import S_NS, now_ns
from amoc.base.json_plain import JsonObject
from amoc.base.periodic_yield import PeriodicYield
from amoc.control.commands import COMMANDS, Command, is_read
from amoc.results.run_directory import RunDirectory
from amoc.results.run_list import ListedRun
from amoc.service import sse
from amoc.service.answers import (
    FILE,
    NOTHING,
    PAGE,
    ComparisonBody,
    LogBody,
    RunBody,
    RunsBody,
    SeriesBody,
    SummaryBody,
    of_run,
    responses,
)
from amoc.service.isolated import answer_of
from amoc.service.live_series import second_of
from amoc.service.log_tail import LogTail
from amoc.service.problems import Problem
from amoc.service.requests import MAX_LINES, MAX_SECONDS, RunId
from amoc.service.rest_execution import add_command
from amoc.service.service import Service

_TAG = Tag(name="runs", description="Running and ended runs")
POLL_S = 0.2
BATCH_SECONDS = 60
"""Seconds of data to read at a time for a stream."""
MAX_LISTED = 1_000
_CHUNK = 1 << 16
_OWN_POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">')


class RunPath(BaseModel):
    """The run."""

    id: RunId


class PairPath(BaseModel):
    """The two runs."""

    a: RunId
    b: RunId


class ListQuery(BaseModel):
    """The number of runs."""

    limit: int = Field(100, ge=1, le=MAX_LISTED, description="Maximum number of runs, newest first")


class SeriesQuery(BaseModel):
    """The seconds to return."""

    after: int = Field(0, ge=0, le=1 << 53, description="Return seconds after this number")
    histograms: bool = Field(default=False, description="Include the histograms of timers")
    limit: int = Field(MAX_SECONDS, ge=1, le=MAX_SECONDS, description="Maximum number of seconds")


class LogQuery(BaseModel):
    """The number of log lines."""

    lines: int = Field(100, ge=1, le=MAX_LINES, description="Maximum number of lines, the newest")


def register(app: OpenAPI, service: Service) -> None:
    """Add the routes."""
    runs = service.runs

    @app.get("/runs", tags=[_TAG], responses=responses(ok=RunsBody))
    def list_runs(query: ListQuery) -> JsonObject:
        """List runs, newest first, after those that are queued."""
        return {"runs": [listed(service, one) for one in runs.newest(query.limit)]}

    @app.get("/runs/<id>", tags=[_TAG], responses=responses(HTTPStatus.NOT_FOUND, ok=RunBody))
    def get_run(path: RunPath) -> JsonObject:
        """Get a run."""
        return listed(service, runs.get(path.id))

    @app.delete("/runs/<id>", tags=[_TAG], responses=of_run() | NOTHING)
    def delete_run(path: RunPath) -> tuple[str, HTTPStatus]:
        """Delete all files of a run, which must have ended."""
        runs.delete(path.id)
        return "", HTTPStatus.NO_CONTENT

    @app.get("/runs/<id>/summary", tags=[_TAG], responses=of_run(ok=SummaryBody))
    def get_summary(path: RunPath) -> JsonObject:
        """Get the summary of a run, see docs/summary.md; of a running one, the summary so far."""
        return answer_of("saved", "summary", str(runs.find(path.id).path))

    @app.get("/runs/<id>/report", tags=[_TAG], responses=of_run() | PAGE)
    def get_report(path: RunPath) -> Response:
        """Get the report of a run as an HTML page; of a running one, the report so far."""
        directory = runs.find(path.id)
        if not directory.report.exists() or directory.control.exists():
            made = answer_of("saved", "report", str(directory.path))
            return frozen_page(str(made["page"]))
        return frozen_page(directory.report.read_text(encoding="utf-8"))

    @app.get("/runs/<id>/series", tags=[_TAG], responses=of_run(ok=SeriesBody))
    def get_series(path: RunPath, query: SeriesQuery) -> JsonObject:
        """Get seconds of a run, in order; `total` is the number of seconds so far."""
        directory = runs.find(path.id)
        total = service.series.count(directory)
        seconds = []
        for number, point in service.series.after(directory, query.after, query.limit):
            seconds.append(second_of(number, point, query.histograms))
            gevent.sleep(0)
        last = query.after + len(seconds)
        return {"run": directory.id, "seconds": seconds, "last": last, "total": max(total, last)}

    @app.get("/runs/<id>/log", tags=[_TAG], responses=of_run(ok=LogBody))
    def get_log(path: RunPath, query: LogQuery) -> JsonObject:
        """Get the newest lines of a run's logs, from all of its processes, in order."""
        directory = runs.find(path.id)
        tail = LogTail(directory.logs, query.lines, PeriodicYield())
        tail.read_new()
        return {"run": directory.id, "lines": tail.lines()}

    @app.get("/runs/<a>/compare/<b>", tags=[_TAG], responses=of_run(ok=ComparisonBody))
    def compare_runs(path: PairPath) -> JsonObject:
        """Compare two runs, as `amoc compare --json` does."""
        both = (str(runs.find(one).path) for one in (path.a, path.b))
        return answer_of("saved", "compare", *both)

    # Not in the OpenAPI document: client generators do not support event streams.
    @app.get("/runs/<id>/events", doc_ui=False)
    def get_events(path: RunPath) -> Response:
        """Stream each second as soon as it is known, and then the end of the run."""
        directory = runs.find(path.id)
        return sse.stream(events(service, directory, sse.last_seen()))

    _register_for_commands(app, service)


def _register_for_commands(app: OpenAPI, service: Service) -> None:
    """Add the routes that commands with ``--server`` need."""

    @app.get("/runs/<id>/archive", tags=[_TAG], responses=of_run() | FILE)
    def get_archive(path: RunPath) -> Response:
        """Download the files of a run as a tar archive: journal, series and summary."""
        return Response(archive(service.runs.find(path.id)), mimetype="application/x-tar")

    for name, spec in COMMANDS.items():
        if is_read(name):
            add = partial(app.get, f"/runs/<id>/{name}", tags=[_TAG])
            add_command(add, f"run_{name}", spec, _asked(service, name), path=RunPath)


def frozen_page(page: str) -> Response:
    """Return a report or comparison, whose script may run but do nothing beyond its own page.

    The page declares the hash of its script. The browser treats it as another origin, so it cannot
    use the viewer's login.
    """
    found = _OWN_POLICY.search(page)
    policy = unescape(found[1]) if found is not None else "default-src 'none'"
    policy += "; frame-ancestors 'none'; sandbox allow-scripts"
    return Response(page, mimetype="text/html", headers={"Content-Security-Policy": policy})


def listed(service: Service, one: ListedRun) -> dict[str, object]:
    """Return a run as the API lists it."""
    made = asdict(one)
    name = made.pop("name")
    del made["directory"]
    job = service.runs.job(name)
    if job is not None and one.verdict == "killed":
        made["verdict"] = "running"  # it does not take commands yet, or no longer
    elsewhere = "running" if one.verdict == "running" else "over"
    state = job.state if job is not None else elsewhere
    return {"id": name, **made, "state": state, "error": service.runs.error_of(name)}


def events(service: Service, directory: RunDirectory, number: int) -> Iterator[str]:
    """Yield the seconds after `number` as they arrive, until the run ends."""
    yield f"retry: {sse.RETRY_MS}\n\n"
    said_ns = now_ns()
    while True:
        # Checked before the seconds are read, so as not to miss the run's last ones.
        runs = directory.path.exists() and _runs(service, directory)
        seconds = service.series.after(directory, number, BATCH_SECONDS)
        for number, point in seconds:
            yield sse.event("second", second_of(number, point), number)
            said_ns = now_ns()
            gevent.sleep(0)
        if seconds:
            continue
        if not runs:
            yield sse.event("end", _end(service, directory))
            return
        if now_ns() - said_ns > sse.HEARTBEAT_S * S_NS:
            yield sse.HEARTBEAT
            said_ns = now_ns()
        gevent.sleep(POLL_S)


def _runs(service: Service, directory: RunDirectory) -> bool:
    """Return whether more seconds may follow."""
    # A run of this server goes on until its report is written, and the next run can start.
    is_ours = service.runs.job(directory.id) is not None
    return is_ours or (not directory.summary.exists() and directory.answers())


def _end(service: Service, directory: RunDirectory) -> dict[str, object]:
    try:
        return listed(service, service.runs.get(directory.id))
    except Problem as error:  # deleted meanwhile
        return {"id": directory.id, "state": "deleted", "error": str(error)}


def _asked(service: Service, name: str) -> Callable[[RunPath], JsonObject]:
    return lambda path: service.runs.command(path.id, Command(name, {}))


def archive(directory: RunDirectory) -> Iterator[bytes]:
    """Yield a tar archive of journal, series and summary, in a directory named after the run.

    Also while the run writes them, each with its size at the start.
    """
    for path in (directory.summary, directory.journal, directory.series, directory.old_series):
        yield from _file(path, f"{directory.id}/{path.name}")
    yield bytes(2 * tarfile.BLOCKSIZE)


def _file(path: Path, name: str) -> Iterator[bytes]:
    try:
        file = path.open("rb")
    except OSError:
        return  # a running run has no summary
    with file:
        info = tarfile.TarInfo(name)
        info.size, info.mode = file.seek(0, 2), 0o600
        file.seek(0)
        yield info.tobuf()
        left = info.size
        while left and (data := file.read(min(_CHUNK, left))):
            left -= len(data)
            yield data
        # Pad with zeros if a file has shrunk, which is not expected, to keep the archive valid.
        while left:
            padding = bytes(min(_CHUNK, left))
            left -= len(padding)
            yield padding
        yield bytes(-info.size % tarfile.BLOCKSIZE)
