"""Pure. Writes a plan as the text of a scenario."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from amoc.recording.answer_values import InHeader, InHtml, InJson
from amoc.recording.parts import head_text, init_text, setting_text
from amoc.recording.plan import Plan, PlannedRequest, PlannedStep, Taken
from amoc.recording.python_text import INDENT, WIDTH, Call, Code, Node, flat, one_line, rendered

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
"""HTTP methods for which a session has a method of its own."""
_BETWEEN = '''

def between(answer, left, right):
    """Return the text between two strings in a page; empty if they are missing."""
    _, _, rest = answer.text.partition(left)
    value, found, _ = rest.partition(right)
    return html.unescape(value) if found else ""
'''
_TOGETHER = "user.together() as beside"
_THINK = """\
think = setting(1.0, "Factor for the recorded pauses; 0: none", verify=lambda x: x >= 0)
"""
_PAUSE = """

def pause(seconds):
    user.sleep(seconds * think.get() * user.random.uniform(0.5, 1.5))
"""


def write(plan: Plan, name: str) -> str:
    """Return the text of scenario `name`, formatted as formatters do."""
    takes = [taken for step in plan.steps for one in step.requests for taken in one.takes]
    has_pauses = any(step.pause_s for step in plan.steps[1:])
    body = "".join(_start(plan))
    text = "".join(_settings(plan, name, has_pauses))
    text += init_text(plan.settings) + body
    if has_pauses:
        text += _PAUSE
    if any(isinstance(one.place, InHtml) for one in takes):
        text += _BETWEEN
    return head_text(plan.opening, name, text) + text


def _settings(plan: Plan, name: str, has_pauses: bool) -> Iterator[str]:
    yield setting_text("base", plan.base, "Base address of the server")
    for one in plan.settings:
        yield setting_text(one.name, one.default, one.description)
    if has_pauses:
        yield _THINK
    yield '\noverride("repeat_interval", "1s")  # from the end of a visit to the next one\n'
    if plan.files:
        yield "HERE = Path(__file__).parent\n"
    if plan.columns:
        call = Call("feed.csv", [("", f"{name}.csv"), ("order", "circular")])
        yield f"rows = {rendered(call, 0, 7)}\n"


def _start(plan: Plan) -> Iterator[str]:
    yield "\n\ndef start(user_id):\n"
    if plan.columns:
        yield "    row = rows.next()\n"
    arguments: list[tuple[str, Node]] = [("", Code("base.get()"))]
    if plan.session_headers:
        arguments.append(("headers", plan.session_headers))
    opened = rendered(Call("http.session", arguments), 1, len("with "), len(" as client:"))
    yield f"    with {opened} as client:\n"
    for at, one in enumerate(plan.steps):
        yield from _step(one, at > 0)


def _step(step: PlannedStep, may_pause: bool) -> Iterator[str]:
    if may_pause and step.pause_s:
        yield f"        pause({step.pause_s:.3g})\n"
    begun = Call("step", [("", step.label)])
    groups = _groups(step.requests)
    if len(groups) == 1 and len(groups[0]) > 1:
        line = f"        with {flat(begun)}, {_TOGETHER}:\n"
        if len(line) > WIDTH:
            both = f"            {flat(begun)},\n            {_TOGETHER},\n"
            line = f"        with (\n{both}        ):\n"
        yield line
    else:
        yield f"        with {rendered(begun, 2, 5, 1)}:\n"
    for group in groups:
        if len(group) == 1:
            yield from _request(group[0])
            continue
        if len(groups) > 1:
            yield f"{INDENT * 3}with {_TOGETHER}:\n"
        for one in group:
            yield from _request(one, 4 if len(groups) > 1 else 3, beside=True)


def _groups(requests: Sequence[PlannedRequest]) -> list[list[PlannedRequest]]:
    """Group the requests that run concurrently."""
    groups: list[list[PlannedRequest]] = []
    for one in requests:
        if one.is_concurrent:
            groups[-1].append(one)
        else:
            groups.append([one])
    return groups


def _request(one: PlannedRequest, depth: int = 3, *, beside: bool = False) -> Iterator[str]:
    inner = INDENT * depth
    for comment in one.comments:
        yield f"{inner}# {one_line(comment)}\n"
    arguments: list[tuple[str, Node]] = [("", one.url)]
    function = f"client.{one.method.lower()}"
    if one.method not in METHODS:
        function, arguments = "client.request", [("", one.method), *arguments]
    arguments += one.options
    if one.headers:
        arguments.append(("headers", one.headers))
    if beside:
        function, arguments = "beside", [("", Code(function)), *arguments]
    begins = "answer = " if one.takes else ""
    yield f"{inner}{begins}{rendered(Call(function, arguments), depth, len(begins))}\n"
    if one.takes:
        yield f"{inner}if not answer.ok:\n"
        yield f"{inner}    return  # the next requests need this answer\n"
    for taken in one.takes:
        yield from _taken(taken)
    for name, node in one.headers_from_here.items():
        call = Call("client.set_header", [("", name), ("", node)])
        yield f"{inner}{rendered(call, 3)}\n"


def _taken(taken: Taken) -> Iterator[str]:
    inner, place = INDENT * 3, taken.place
    if isinstance(place, InHtml):
        call = Call("between", [("", Code("answer")), ("", place.left), ("", place.right)])
        yield f"{inner}{taken.variable} = {rendered(call, 3, len(taken.variable) + 3)}\n"
    elif isinstance(place, InJson):
        # A chain that is too long for a line continues on the next one.
        expression = "answer.json()"
        for part in place.path:
            index = f"[{flat(part)}]"
            line = f"{inner}{taken.variable} = {expression}"
            if len(line) + len(index) > WIDTH and expression != taken.variable:
                yield f"{line}\n"
                expression = taken.variable
            expression += index
        yield f"{inner}{taken.variable} = {expression}\n"
    elif isinstance(place, InHeader):
        value = f"answer.headers[{flat(place.name)}]"
        if place.is_last_segment:
            value += '.rstrip("/").rpartition("/")[2]'
        yield f"{inner}{taken.variable} = {value}\n"
