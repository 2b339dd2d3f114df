"""Pure. Makes the plan of a scenario from the selected part of a recording."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from math import inf

from amoc.base.text import counted
from amoc.recording.answer_values import InHtml
from amoc.recording.answer_values import values as handed_out
from amoc.recording.plan import Plan, PlannedRequest, PlannedSetting, PlannedStep
from amoc.recording.python_text import Code, Node, flat
from amoc.recording.request_names import ID
from amoc.recording.request_plan import RequestPlanner
from amoc.recording.selection import Kept, Origin, Selection
from amoc.recording.value_plan import Values

NEW_STEP_S = 1.0
"""A pause of this length starts a new step, even on the same page."""
MAX_PAUSE_S = 60.0
MIN_PAUSE_S = 0.05
ROUNDED_S = 0.001
"""Times in recordings may be in whole milliseconds."""
MAX_LABEL = 60
_LABEL = re.compile(r"[^\w /,:()&+#!?'-]+")


def plan(
    selection: Selection, titles: Mapping[str, str], file: str, taken_names: Iterable[str]
) -> Plan:
    """Return the plan of a scenario.

    Args:
        selection: The exchanges to replay.
        titles: Titles of the recording's pages, by id.
        file: The scenario's name, with which the names of its other files begin.
        taken_names: Names of existing settings.
    """
    kept = selection.kept
    values = Values(taken_names)
    made = Plan("", selection.base.url)
    for one in kept:
        values.expect(one.exchange)
    servers = _servers(selection, values, made)
    for step, members in _grouped(kept, titles):
        made.steps.append(step)
        for number, one in members:
            planner = RequestPlanner(
                one, number, values, servers.get(one.origin, ""), f"{file}_bodies"
            )
            planned = planner.plan()
            made.files |= planner.files
            step.requests.append(planned)
            exchange = one.exchange
            values.origins.answered(
                number, planned.name, exchange.method, one.parts.path, exchange.answer
            )
            if exchange.answer.type == "text/html":
                values.hidden_fields(
                    {
                        (place.name, value)
                        for value, place in handed_out(exchange.answer)
                        if isinstance(place, InHtml)
                    }
                )
    flow = [request for step in made.steps for request in step.requests]
    names = {request.name for request in flow}
    for step in made.steps:
        if not step.label or any(one in step.label for one in values.secrets):
            step.label = _label_from(step.requests[0])
        step.label = f"{step.label} page" if step.label in names else step.label
    for number, takes in values.takes.items():
        flow[number].takes = takes
    _mark_concurrent(made, kept)
    made.settings += values.settings
    made.columns = values.columns
    _hoist(made, flow)
    _note(made, kept)
    made.opening = (
        f"Recorded from {selection.base.url}: {counted(len(flow), 'request')}"
        f" in {counted(len(made.steps), 'step')}."
    )
    return made


def _servers(selection: Selection, values: Values, made: Plan) -> dict[Origin, str]:
    """Return the prefixes for the paths of other servers, whose URLs are settings."""
    prefixes: dict[Origin, str] = {}
    for one in selection.kept:
        if one.origin == selection.base or one.origin in prefixes:
            continue
        name = values.new_name(_server_name(one.origin.host))
        prefixes[one.origin] = f"{{{name}.get()}}"
        made.settings.append(PlannedSetting(name, one.origin.url, "Base address of another server"))
    return prefixes


def _server_name(host: str) -> str:
    first = host.partition(".")[0].partition(":")[0]
    return f"{first}_url" if first[:1].isalpha() else "other_url"


def _grouped(
    kept: Sequence[Kept], titles: Mapping[str, str]
) -> Iterable[tuple[PlannedStep, list[tuple[int, Kept]]]]:
    """Return the steps, each with its requests and their numbers."""
    navigations: dict[str, int] = {}
    for one in kept:
        if one.exchange.is_navigation:
            navigations[one.exchange.page] = navigations.get(one.exchange.page, 0) + 1
    groups: list[tuple[PlannedStep, list[tuple[int, Kept]]]] = []
    page, ended = None, 0.0
    for number, one in enumerate(kept):
        exchange = one.exchange
        gap = exchange.started_s - ended if groups else 0.0
        if not groups or exchange.is_navigation or exchange.page != page or gap >= NEW_STEP_S:
            opened = exchange.page != page and navigations.get(exchange.page, 0) <= 1
            label = _label(titles.get(exchange.page, "")) if opened else ""
            pause = min(gap, MAX_PAUSE_S) if gap >= MIN_PAUSE_S else 0.0
            groups.append((PlannedStep(label, pause), []))
        groups[-1][1].append((number, one))
        page, ended = exchange.page, max(ended, exchange.ended_s)
    return groups


def _mark_concurrent(made: Plan, kept: Sequence[Kept]) -> None:
    """Find the requests that the browser made concurrently.

    Each of them was sent before any of the others was answered, so none needs another one's answer,
    whatever a page's script does.
    """
    number = 0
    for step in made.steps:
        answered_s = -inf  # when the first of the concurrent ones was answered
        for request in step.requests:
            exchange = kept[number].exchange
            number += 1
            is_page = exchange.is_navigation or exchange.answer.type == "text/html"
            is_free = not (request.takes or is_page)
            request.is_concurrent = is_free and exchange.started_s < answered_s - ROUNDED_S
            ended_s = exchange.ended_s if is_free else -inf
            answered_s = min(answered_s, ended_s) if request.is_concurrent else ended_s


def _label(title: str) -> str:
    """Return the name of a step from its page's title; empty if the title is not useful."""
    title = " ".join(_LABEL.sub(" ", title).split())
    is_url = title.lower().startswith(("http:", "https:", "data:", "about:"))
    return "" if is_url else title[:MAX_LABEL].rstrip()


def _label_from(first: PlannedRequest) -> str:
    """Return the name of a step from its first request, whose name has no ids."""
    words = [part for part in first.name.split("/")[1:] if part and ID not in part]
    what = " ".join(_LABEL.sub(" ", words[-1]).split()) if words else ""
    does = "open" if first.method == "GET" else first.method.lower()
    return f"{does} {what or 'the first page'}"[:MAX_LABEL].rstrip()


def _hoist(made: Plan, flow: Sequence[PlannedRequest]) -> None:
    """Move headers that all requests share, or all after an answer, to a single place."""
    home = [one for one in flow if one.is_home]
    for one in home:
        # Browsers send it with changes, and servers that check it expect it there.
        if origin := one.headers.pop("Origin", None):
            made.session_headers["Origin"] = origin
    for name, node in list(home[0].headers.items()) if home else []:
        if _is_known_before(node) and all(one.headers.get(name) == node for one in home):
            made.session_headers[name] = node
            for one in home:
                del one.headers[name]
    for at, request in enumerate(flow):
        later = [one for one in flow[at + 1 :] if one.is_home]
        variables = {taken.variable for taken in request.takes}
        for name, node in list(later[0].headers.items()) if later and variables else []:
            uses = isinstance(node, Code) and any(f"{{{one}}}" in node.text for one in variables)
            if uses and all(one.headers.get(name) == node for one in later):
                request.headers_from_here[name] = node
                for one in later:
                    del one.headers[name]


def _is_known_before(node: Node) -> bool:
    """Return whether an expression has a value when the session starts: text, or a setting."""
    return isinstance(node, str) or (isinstance(node, Code) and ".get()" in flat(node))


def _note(made: Plan, kept: Sequence[Kept]) -> None:
    before: set[str] = set()
    set_since: set[str] = set()
    for one in kept:
        pairs = one.exchange.header("cookie").split(";")
        before |= {pair.partition("=")[0].strip() for pair in pairs if "=" in pair} - set_since
        set_since |= {
            value.partition("=")[0].strip()
            for name, value in one.exchange.answer.headers
            if name == "set-cookie"
        }
    if before:
        shown = ", ".join(sorted(before)[:5])
        made.notes.append(
            f"cookies set before the recording are not sent: {shown};"
            " start recording before the login"
        )
    if cut := sum(one.exchange.answer.is_cut for one in kept):
        made.notes.append(
            f"{counted(cut, 'response')} without content in the recording: values set by them are"
            " not recognised; record with content"
        )
    if any(step.pause_s >= MAX_PAUSE_S for step in made.steps):
        made.notes.append(f"pauses of more than {MAX_PAUSE_S:g} s were cut to that")
