"""REST: runs that run, and runs that are over."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict
from html import unescape
from http import HTTPStatus
from typing import Any

import gevent
from flask import Response
from flask_openapi3 import OpenAPI, Tag
from pydantic import BaseModel, Field

from amoc.base.clock import S_NS, now_ns
from amoc.base.periodic_yield import PeriodicYield
from amoc.results.run_directory import RunDirectory
from amoc.results.run_list import ListedRun
from amoc.service import sse
from amoc.service.answers import ComparisonBody, LogBody, RunBody, RunsBody, SeriesBody, SummaryBody
from amoc.service.isolated import READ_S, answer_of
from amoc.service.live_series import second_of
from amoc.service.log_tail import LogTail
from amoc.service.problems import Problem
from amoc.service.requests import MAX_LINES, MAX_SECONDS, RunId
from amoc.service.responses import NOTHING, PAGE, of_run, responses
from amoc.service.service import Service

_TAG = Tag(name="runs", description="Runs that run, and runs that are over")
LOOK_S = 0.2
AT_ONCE = 60
"""Seconds that are read at once for a stream."""
MAX_LISTED = 1_000
_OWN_POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">')


class RunPath(BaseModel):
    """Which run."""

    id: RunId


class PairPath(BaseModel):
    """Which two runs."""

    a: RunId
    b: RunId


class ListQuery(BaseModel):
    """How many runs."""

    limit: int = Field(100, ge=1, le=MAX_LISTED, description="List so many, the newest")


class SeriesQuery(BaseModel):
    """Which seconds."""

    after: int = Field(0, ge=0, le=1 << 53, description="Those after this number")
    histograms: bool = Field(default=False, description="With the histograms of timers")
    limit: int = Field(MAX_SECONDS, ge=1, le=MAX_SECONDS, description="At most so many")


class LogQuery(BaseModel):
    """How much of the logs."""

    lines: int = Field(100, ge=1, le=MAX_LINES, description="So many, the newest")


def register(app: OpenAPI, service: Service) -> None:
    """Add the routes."""
    runs = service.runs

    @app.get("/runs", tags=[_TAG], responses=responses(ok=RunsBody))
    def list_runs(query: ListQuery) -> Any:
        """Runs, the newest first; those that wait come first of all."""
        return {"runs": [listed(service, one) for one in runs.newest(query.limit)]}

    @app.get("/runs/<id>", tags=[_TAG], responses=responses(HTTPStatus.NOT_FOUND, ok=RunBody))
    def get_run(path: RunPath) -> Any:
        """A run."""
        return listed(service, runs.get(path.id))

    @app.delete("/runs/<id>", tags=[_TAG], responses=of_run() | NOTHING)
    def delete_run(path: RunPath) -> Any:
        """Delete all that a run has left. It must be over."""
        runs.delete(path.id)
        return "", HTTPStatus.NO_CONTENT

    @app.get("/runs/<id>/summary", tags=[_TAG], responses=of_run(ok=SummaryBody))
    def get_summary(path: RunPath) -> Any:
        """The summary of a run, see docs/summary.md; of one that runs, as it is so far."""
        return answer_of("amoc.service.saved", ["summary", str(runs.find(path.id).path)], READ_S)

    @app.get("/runs/<id>/report", tags=[_TAG], responses=of_run() | PAGE)
    def getfrozen_page(path: RunPath) -> Any:
        """The report of a run, a page; of one that runs, as it is so far."""
        directory = runs.find(path.id)
        if not directory.report.exists() or directory.control.exists():
            made = answer_of("amoc.service.saved", ["report", str(directory.path)], READ_S)
            return frozen_page(str(made["page"]))
        return frozen_page(directory.report.read_text(encoding="utf-8"))

    @app.get("/runs/<id>/series", tags=[_TAG], responses=of_run(ok=SeriesBody))
    def get_series(path: RunPath, query: SeriesQuery) -> Any:
        """Seconds of a run, in order; `total` says how many there are."""
        directory = runs.find(path.id)
        total = service.series.count(directory)
        seconds = []
        for number, point in service.series.after(directory, query.after, query.limit):
            seconds.append(second_of(number, point, query.histograms))
            gevent.sleep(0)
        last = query.after + len(seconds)
        return {"run": directory.id, "seconds": seconds, "last": last, "total": max(total, last)}

    @app.get("/runs/<id>/log", tags=[_TAG], responses=of_run(ok=LogBody))
    def get_log(path: RunPath, query: LogQuery) -> Any:
        """The newest lines of a run's logs, of all its processes, in order."""
        directory = runs.find(path.id)
        tail = LogTail(directory.logs, query.lines, PeriodicYield())
        tail.look()
        return {"run": directory.id, "lines": tail.lines()}

    @app.get("/runs/<a>/compare/<b>", tags=[_TAG], responses=of_run(ok=ComparisonBody))
    def compare_runs(path: PairPath) -> Any:
        """Two runs compared, as `amoc compare --json` does."""
        both = [str(runs.find(one).path) for one in (path.a, path.b)]
        return answer_of("amoc.service.saved", ["compare", *both], READ_S)

    # Not in the document: generators of clients do not know streams.
    @app.get("/runs/<id>/events", doc_ui=False)
    def get_events(path: RunPath) -> Any:
        """Each second as soon as it is known, then the end of the run."""
        directory = runs.find(path.id)
        return sse.stream(events(service, directory, sse.last_seen()))


def frozen_page(page: str) -> Response:
    """A report or comparison, which may run its own script and do nothing with it but show itself.

    It says itself which script that is, by its hash. To the browser it is of another site, so it
    cannot use the login of who looks at it.
    """
    found = _OWN_POLICY.search(page)
    policy = unescape(found[1]) if found is not None else "default-src 'none'"
    policy += "; frame-ancestors 'none'; sandbox allow-scripts"
    return Response(page, mimetype="text/html", headers={"Content-Security-Policy": policy})


def listed(service: Service, one: ListedRun) -> dict[str, object]:
    """A run as the API lists it."""
    made = asdict(one)
    name = made.pop("name")
    del made["directory"]
    job = service.runs.job(name)
    if job is not None and one.verdict == "killed":
        made["verdict"] = "running"  # it takes no commands yet, or not any more
    elsewhere = "running" if one.verdict == "running" else "over"
    state = job.state if job is not None else elsewhere
    return {"id": name, **made, "state": state, "error": service.runs.error_of(name)}


def events(service: Service, directory: RunDirectory, number: int) -> Iterator[str]:
    """The seconds after `number`, as they come; ends with the run."""
    yield f"retry: {sse.RETRY_MS}\n\n"
    said_ns = now_ns()
    while True:
        # Looked at before the seconds: what a run writes last must not be missed.
        runs = directory.path.exists() and _runs(service, directory)
        seconds = service.series.after(directory, number, AT_ONCE)
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
        gevent.sleep(LOOK_S)


def _runs(service: Service, directory: RunDirectory) -> bool:
    """Whether more may come."""
    if service.runs.job(directory.id) is not None:
        return True  # until its report is written, too, and the next one can start
    if directory.summary.exists():
        return False
    return directory.control.exists() and directory.answers()


def _end(service: Service, directory: RunDirectory) -> dict[str, object]:
    try:
        return listed(service, service.runs.get(directory.id))
    except Problem as error:  # deleted meanwhile
        return {"id": directory.id, "state": "deleted", "error": str(error)}
