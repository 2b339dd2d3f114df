"""Request bodies and parameters. The OpenAPI document is generated from them. Pure.

Bodies of commands are generated from the table of commands, so a new command needs nothing here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

from annotated_types import GroupedMetadata
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, create_model
from pydantic.config import JsonDict

from amoc.control import commands

MAX_LINES = 1_000
MAX_SECONDS = 1_000


ONE_LINE = r"^[^\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]*$"
"""No line ends, and no characters that change how a terminal shows what follows."""


def _from_float(value: object) -> object:
    """Convert 5.0 to 5, as JSON does not distinguish them."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


@dataclass(frozen=True)
class Whole(GroupedMetadata):
    """In ``Annotated[int, Whole(low, high)]``: a whole number from `low` to `high`."""

    low: int
    high: int

    def __iter__(self) -> Iterator[object]:
        """Yield the metadata for pydantic."""
        yield Field(strict=True, ge=self.low, le=self.high)
        yield BeforeValidator(_from_float)


LOCAL_NODES = r"^local:[1-9][0-9]{0,3}$"
Line = Annotated[str, Field(pattern=ONE_LINE, max_length=500)]
RUN_ID = r"^[A-Za-z0-9_][A-Za-z0-9_.~-]{0,199}$"
RunId = Annotated[
    str, Field(pattern=RUN_ID, description="A run's id, as in GET /runs; or last, last~1")
]
_NAME = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}(/[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}){0,7}"
SCENARIO_NAME = rf"^{_NAME}$"
ScenarioName = Annotated[
    str, Field(pattern=SCENARIO_NAME, description="A scenario's name, as in GET /scenarios")
]
_WITH_LOAD = rf"{_NAME}=[0-9][0-9A-Za-z.,:/]{{0,199}}"
SCENARIOS = rf"^({_NAME}|{_WITH_LOAD}( {_WITH_LOAD}){{1,9}})$"
Scenarios = Annotated[
    str,
    Field(
        pattern=SCENARIOS,
        description="A scenario's name, as in GET /scenarios; or several, each with its load, as"
        " for amoc run: buy=10/s browse=100",
    ),
]
UPLOAD_NAME = r"^[A-Za-z_][A-Za-z0-9_]{0,99}$"
UploadName = Annotated[
    str, Field(pattern=UPLOAD_NAME, description="The scenario's name, without .py")
]
Users = Annotated[int, Whole(0, commands.MAX_COUNT)]


class Exact(BaseModel):
    """A body that does not allow unknown fields, so that misspelt ones are reported."""

    model_config = ConfigDict(extra="forbid")


# Commands for a run.


class Addressed(Exact):
    """The fields that all commands share."""

    run: RunId | None = Field(
        default=None, description="The run; required only if several are running"
    )
    comment: str = Field(
        default="", max_length=commands.MAX_COMMENT, description="Comment for the run's journal"
    )


_OLD_NAMES = {
    "add_users": ("add", {"count": "users"}),
    "remove_users": ("remove", {"count": "users"}),
    "update_settings": ("set", {"values": "settings"}),
}


class CommandRoute:
    """The REST route of a command.

    Attributes:
        path: Path below ``/execution/``.
        spec: The command.
        body: Type of its body.
    """

    def __init__(self, path: str, spec: commands.CommandSpec, names: dict[str, str]) -> None:
        self.path = path
        self.spec = spec
        self._names = {one.name: names.get(one.name, one.name) for one in spec.arguments}
        self.body = _body_of(spec, self._names, path)

    def command(self, body: Addressed) -> commands.Command:
        """Return the command in a body. It has not been checked yet."""
        given = body.model_dump(exclude_unset=True)
        arguments = {
            name: given[field]
            for name, field in self._names.items()
            if given.get(field) is not None
        }
        return commands.Command(self.spec.name, arguments, body.comment)


def _body_of(spec: commands.CommandSpec, names: dict[str, str], path: str) -> type[Addressed]:
    title = "".join(part.capitalize() for part in path.split("_")) + "Body"
    # The types of the fields are made here, from the table.
    fields: dict[str, Any] = {names[one.name]: _field(one, spec) for one in spec.arguments}
    if spec.text:
        text = Field(min_length=1, max_length=commands.MAX_COMMENT, description="The text")
        fields["comment"] = (str, text)
    extra: JsonDict = {}
    for one in spec.arguments:
        if one.instead_of:
            this: JsonDict = {"required": [names[one.name]]}
            other: JsonDict = {"required": [names[one.instead_of]]}
            extra = {"if": this, "then": {"not": other}, "else": other}
    made: type[Addressed] = create_model(title, __base__=Addressed, __doc__=spec.help, **fields)
    made.model_config = ConfigDict(extra="forbid", title=title, json_schema_extra=extra)
    made.model_rebuild(force=True)
    return made


def _field(argument: commands.Argument, spec: commands.CommandSpec) -> tuple[object, object]:
    """Return the type of an argument's field, and its default if it has one."""
    kind, about = argument.type, argument.help.rstrip(".") or None
    optional = (
        argument.optional
        or argument.instead_of
        or any(one.instead_of == argument.name for one in spec.arguments)
    )
    form: object
    if isinstance(kind, commands.WholeNumber):
        form = Annotated[int, Whole(kind.low, kind.high)]
    elif isinstance(kind, commands.IdRange):
        one_id = Annotated[int, Whole(1, kind.high)]
        form = Annotated[list[one_id], Field(min_length=2, max_length=2)]
    elif isinstance(kind, commands.NodeNames):
        name = Annotated[str, Field(min_length=1, max_length=commands.MAX_TEXT)]
        form = Annotated[list[name], Field(min_length=1, max_length=commands.MAX_NODES)]
    elif isinstance(kind, commands.Flag):
        return bool, Field(bool(argument.default), description=about)
    elif isinstance(kind, commands.Text):
        form = Annotated[str, Field(min_length=1, max_length=commands.MAX_TEXT)]
    else:
        form = Annotated[dict[str, JsonValue], Field(min_length=1, max_length=commands.MAX_VALUES)]
    if optional:
        return form, Field(None, description=about)
    return form, Field(description=about)


def command_routes() -> list[CommandRoute]:
    """Return routes for all commands that change a run, and for the older names."""
    routes = [
        CommandRoute(name, spec, {})
        for name, spec in commands.COMMANDS.items()
        if spec.handling is not commands.Handling.READ
    ]
    return routes + [
        CommandRoute(path, commands.COMMANDS[name], names)
        for path, (name, names) in _OLD_NAMES.items()
    ]
