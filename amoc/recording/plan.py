"""Pure. A scenario before it becomes text: its settings, data, steps and requests."""

from __future__ import annotations

from dataclasses import dataclass, field

from amoc.recording.answer_values import Place
from amoc.recording.python_text import Node


@dataclass(frozen=True)
class PlannedSetting:
    """A setting declared by the scenario.

    Attributes:
        default: Empty for a credential, which the operator must provide.
        is_credential: Whether the scenario fails without it.
    """

    name: str
    default: str
    description: str
    is_credential: bool = False


@dataclass
class Taken:
    """A value that the scenario takes from an answer and stores in a variable."""

    variable: str
    place: Place


@dataclass
class PlannedRequest:
    """A request.

    Attributes:
        method: As in the recording.
        name: Its name in the results.
        url: An expression.
        options: The other arguments of the call.
        comments: Comments for readers of the scenario.
        takes: Values from its answer that later requests need.
        headers_from_here: Headers of all later requests, taken from this answer.
        is_home: Whether it goes to the base URL.
        is_concurrent: Whether it runs concurrently with the one before it.
    """

    method: str
    name: str
    url: Node
    options: list[tuple[str, Node]] = field(default_factory=list)
    headers: dict[str, Node] = field(default_factory=dict)
    comments: list[str] = field(default_factory=list)
    takes: list[Taken] = field(default_factory=list)
    headers_from_here: dict[str, Node] = field(default_factory=dict)
    is_home: bool = True
    is_concurrent: bool = False


@dataclass
class PlannedStep:
    """Requests that belong together, and the user's pause before them."""

    label: str
    pause_s: float
    requests: list[PlannedRequest] = field(default_factory=list)


@dataclass
class Plan:
    """A whole scenario.

    Attributes:
        opening: The first line of its docstring.
        base: The base URL.
        settings: Settings besides `base` and `think`.
        columns: One row of the data file.
        files: Bodies that are stored in files, by file name.
        notes: Notes for the operator.
    """

    opening: str
    base: str
    settings: list[PlannedSetting] = field(default_factory=list)
    session_headers: dict[str, Node] = field(default_factory=dict)
    columns: dict[str, str] = field(default_factory=dict)
    steps: list[PlannedStep] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
