"""A run as JUnit XML for CI servers, made from the summary alone. Pure.

A suite is a scenario. Its cases always have the same names, so that a CI server can follow them
from run to run: that the run completed, each threshold by its text, and that the load generator
kept up. An *error* means that the test was not valid, a *failure* that a threshold failed, even if
the run was aborted because of it. *Skipped* are the thresholds of a run that did not complete, and
those that failed in a run whose load generator was too slow, since they were not evaluated.

The elements, their order and their attributes follow Ant's schema. Characters that XML 1.0 cannot
represent, such as a null byte, are written as Python escapes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from xml.etree import ElementTree as ET
from xml.etree.ElementTree import Element, SubElement

from amoc.base import atomic_write
from amoc.base.text import counted
from amoc.results.summary_types import RunPart, Summary
from amoc.results.verdict import mentions, was_aborted

RUN = "the run completes"
GENERATOR = "the load generator keeps up"
MAX_CRASHES = 10
"""Number of causes of crashes that are listed."""

_BROKEN = ("failed", "interrupted", "incomplete", "killed", "running")
_EVALUATED = ("ok", "no criteria", "stopped", "failed thresholds", "everything failed")
_USERS = {
    "started": "{} started",
    "finished": "{} finished",
    "removed": "{} removed",
    "timed_out": "{} timed out",
    "lost": "{} lost",
    "not_started": "{} not started",
    "restarted": "{} restarted",
    "running": "{} running",
    "resting": "{} resting",
    "peak": "peak {}",
    "starts_per_s_peak": "peak start rate {:.4g}/s",
}
"""The format of counts of users, by the summary's key."""
# The few characters XML cannot hold: compiling a set of the many that it can would take 5 ms.
_IMPOSSIBLE = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_SECONDS = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}")


def render(summary: Summary) -> str:
    """Return the document for a summary as in `docs/summary.md`."""
    run = summary["run"]
    name = _name(str(run["scenario"]))
    suites = Element("testsuites")
    suite = SubElement(suites, "testsuite")
    properties = SubElement(suite, "properties")
    for key, value in _properties(summary):
        SubElement(properties, "property", name=_possible(key), value=_possible(value))
    _add_cases(suite, f"amoc.{name}", summary)
    SubElement(suite, "system-out").text = _possible("\n".join(_lines(summary)) + "\n")
    SubElement(suite, "system-err")
    started = _SECONDS.match(str(run.get("started_at", "")))
    for key, value in {
        "name": name,
        "package": "amoc",
        "id": "0",
        "timestamp": started[0] if started is not None else "1970-01-01T00:00:00",
        "hostname": "localhost",
        "tests": str(len(suite.findall("testcase"))),
        "failures": str(len(suite.findall("testcase/failure"))),
        "errors": str(len(suite.findall("testcase/error"))),
        "skipped": str(len(suite.findall("testcase/skipped"))),
        "time": _seconds(run),
    }.items():
        suite.set(key, _possible(value))
    ET.indent(suites)
    text: str = ET.tostring(suites, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def write(summary: Summary, path: Path) -> None:
    """Write the document to `path`, as a whole or not at all.

    Raises:
        OSError: It cannot be written.
    """
    atomic_write.write_text(path, render(summary))


def _add_cases(suite: Element, of: str, summary: Summary) -> None:
    run = summary["run"]
    verdict = run["verdict"]
    reasons = [str(reason) for reason in run.get("reasons", ())]

    case = _case(suite, of, RUN, _seconds(run))
    if verdict in _BROKEN:
        _say(case, "error", verdict, "\n".join(reasons) or f"the verdict is {verdict}")
    elif was_aborted(reasons):
        _say(case, "failure", "aborted", "\n".join(one for one in reasons if was_aborted([one])))
    elif verdict == "everything failed":
        _say(case, "failure", verdict, "\n".join(reasons))
    for one in summary.get("thresholds", ()):
        case = _case(suite, of, str(one["expression"]))
        if verdict in _BROKEN:
            incomplete = verdict == "incomplete"
            why = "data of the run is missing" if incomplete else "the run did not complete"
            SubElement(case, "skipped", message=f"not evaluated: {why}")
        elif not one["passed"] and verdict not in _EVALUATED:
            text = f"not evaluated, the load generator was too slow: {one['reason']}"
            SubElement(case, "skipped", message=_possible(text))
        elif not one["passed"]:
            _say(case, "failure", "failed threshold", str(one["reason"]))
    case = _case(suite, of, GENERATOR)
    health = summary.get("health", {})
    if health.get("limited") and verdict not in _EVALUATED:
        found = [f"{one['text']}; {one['advice']}" for one in health.get("findings", ())]
        _say(
            case,
            "error",
            "generator-limited",
            "\n".join(found) or "the load generator was too slow",
        )


def _case(suite: Element, of: str, name: str, time: str = "0") -> Element:
    return SubElement(suite, "testcase", classname=_possible(of), name=_possible(name), time=time)


def _say(case: Element, what: str, kind: str, text: str) -> None:
    """Add an outcome: its first line is shown in lists, all of it where there is room."""
    text = _possible(text)
    first = text.partition("\n")[0]
    SubElement(case, what, type=kind, message=first).text = text


def _name(scenario: str) -> str:
    """Return the scenario's name: a file's without its directory and suffix, or a module's."""
    name = Path(scenario).stem if scenario.endswith(".py") else scenario
    return name.strip() or "scenario"


def _seconds(run: RunPart) -> str:
    return f"{float(run.get('duration_s') or 0.0):.3f}"


def _properties(summary: Summary) -> Iterator[tuple[str, str]]:
    run = summary["run"]
    for key in ("id", "scenario", "seed", "comment", "warmup_s", "directory"):
        if run.get(key) not in (None, ""):
            yield f"run.{key}", str(run[key])
    for key, value in summary.get("versions", {}).items():
        yield f"version.{key}", str(value)
    for one in summary.get("settings", ()):
        yield f"setting.{one['name']}", str(one["value"])


def _lines(summary: Summary) -> Iterator[str]:
    """Yield what a person reads first; each failure is mentioned once."""
    run = summary["run"]
    reasons = [str(reason) for reason in run.get("reasons", ())]
    yield f"verdict: {run['verdict']}"
    yield from reasons
    yield from (f"note: {note}" for note in run.get("notes", ()))
    yield from _users(summary.get("users", {}))
    for one in summary.get("thresholds", ()):
        if one["passed"]:
            yield f"passed: {one['expression']} ({one['value_text']})"
        elif not mentions(reasons, str(one["reason"])):
            yield f"failed: {one['expression']} ({one['value_text']})"
    for crash in summary.get("crashes", ())[:MAX_CRASHES]:
        yield f"{counted(crash['count'], 'crashed iteration')}: {crash['cause']}"
    if run.get("directory"):
        yield f"run directory: {run['directory']}"


def _users(users: Mapping[str, float]) -> Iterator[str]:
    """Yield a line of counts of users; only the number started is included even if 0."""
    told = [
        text.format(users[key])
        for key, text in _USERS.items()
        if key in users and (users[key] or key == "started")
    ]
    if told:
        yield f"users: {', '.join(told)}"


def _possible(text: str) -> str:
    """Replace characters that XML cannot hold with escapes."""
    return _IMPOSSIBLE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
