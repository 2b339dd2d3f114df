"""Pure. A scenario before it is text: its settings, data, steps and requests."""

from __future__ import annotations

from dataclasses import dataclass, field

from amoc.recording.answer_values import Place
from amoc.recording.python_text import Node


@dataclass(frozen=True)
class PlannedSetting:
    """A setting that the scenario declares.

    Attributes:
        default: Empty for a credential, which the operator gives.
        is_credential: Whether the scenario refuses to run without it.
    """

    name: str
    default: str
    description: str
    is_credential: bool = False


@dataclass
class Taken:
    """A value that the scenario takes from an answer, into a variable."""

    variable: str
    place: Place


@dataclass
class PlannedRequest:
    """A request.

    Attributes:
        method: As in the recording.
        name: What it is called in the results.
        url: An expression.
        options: The other arguments of the call.
        comments: What people should know of it.
        takes: What later requests need of its answer.
        headers_from_here: Headers that all later requests have, because of this answer.
        is_home: Whether it goes to the base URL.
        is_beside: Whether it is made side by side with the one before it.
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
    is_beside: bool = False


@dataclass
class PlannedStep:
    """Requests that belong together, and how long the user had paused before them."""

    label: str
    pause_s: float
    requests: list[PlannedRequest] = field(default_factory=list)


@dataclass
class Plan:
    """All of a scenario.

    Attributes:
        opening: Its docstring's first line.
        base: The base URL.
        settings: Beside `base` and `think`.
        columns: One row of the data file.
        files: Bodies that are files of their own, by name.
        notes: What the operator is told.
    """

    opening: str
    base: str
    settings: list[PlannedSetting] = field(default_factory=list)
    session_headers: dict[str, Node] = field(default_factory=dict)
    columns: dict[str, str] = field(default_factory=dict)
    steps: list[PlannedStep] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
