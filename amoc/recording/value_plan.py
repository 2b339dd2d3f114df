"""Pure. Decides what the scenario sends for each value of a recorded request.

In this order: a variable, if an earlier answer contained the value; a setting, if it is a
credential; a column of the data file, if a person typed it; otherwise the value itself.
"""

from __future__ import annotations

from collections.abc import Iterable

from amoc.recording import secret_values
from amoc.recording.answer_values import InCookie, InHeader, InHtml, InJson, Place
from amoc.recording.exchange import Exchange
from amoc.recording.origins import Certainty, Handed, Origins, Use
from amoc.recording.plan import PlannedSetting, Taken
from amoc.recording.python_text import Code, Node, flat, identifier

MAX_TYPED = 500
"""Maximum number of characters that a person types into a field."""
RESERVED = frozenset(
    {"answer", "between", "client", "csv", "http", "json", "pause", "row", "rows", "setting"}
    | {"start", "init", "step", "user", "user_id", "base", "think", "unquote", "Path", "Error"}
    | {"accounts", "feed", "str", "int", "bytes", "HERE"}
)

_KINDS = {
    "form": "field {} of a form",
    "header": "in the header {}",
    "json": "field {} of a JSON body",
    "path": "part of a path",
    "query": "parameter {} of a query",
}


class Values:
    """The expressions for values, and the declarations they need.

    Attributes:
        settings: Settings for credentials.
        columns: Values of the data file, by column.
        takes: For each request whose answer is needed, the values taken from it.
        numbers: Variables that hold a number.
        secrets: Credentials, none of which may be stored.
    """

    def __init__(self, taken_names: Iterable[str]) -> None:
        """Start without any; `taken_names` are not used for new names."""
        self.settings: list[PlannedSetting] = []
        self.columns: dict[str, str] = {}
        self.takes: dict[int, list[Taken]] = {}
        self.origins = Origins()
        self.numbers: set[str] = set()
        self.secrets: set[str] = set()
        self._names: set[str] = {*RESERVED, *taken_names}
        self._variables: dict[str, Node] = {}
        self._by_secret: dict[str, str] = {}
        self._expected: dict[str, str] = {}
        self._constants: set[tuple[str, str]] = set()

    def expect(self, exchange: Exchange) -> None:
        """Note the credentials of a request before planning any: other requests may send them."""
        for name, value in secret_values.sent(exchange):
            self._expected.setdefault(value, name)

    def new_name(self, text: str) -> str:
        """Return a name for `text`, and reserve it."""
        name = identifier(text, self._names)
        self._names.add(name)
        return name

    def hidden_fields(self, fields: set[tuple[str, str]]) -> None:
        """Note fields that a page has filled in, which no person types."""
        self._constants |= fields

    def node(self, value: str, use: Use, comments: list[str], typed: bool = False) -> Node:
        """Return what to send for `value`.

        Args:
            value: As it was sent.
            use: Where it was sent.
            comments: Receives a comment if the value probably comes from an answer.
            typed: Whether it is a field that people fill in.
        """
        if not value:
            return value
        if value in self._variables:
            return self._variables[value]
        found = self.origins.find(value, use)
        if found is not None and found[1] is Certainty.SURE:
            return self._variable(value, found[0], use)
        if (
            value in self._expected
            or value in self._by_secret
            or secret_values.is_secret(use.name, value)
        ):
            return self.credential(value, use)
        if (use.kind == "header" and secret_values.is_opaque(value)) or (
            use.kind == "path" and secret_values.is_secret_segment(use.before, value)
        ):
            return self.credential(value, use)
        if found is not None:
            comments.append(f"{value} is likely {_where(found[0].place)} of {found[0].name}")
            return value
        is_plain = len(value) <= MAX_TYPED and value.isprintable()
        if typed and is_plain and (use.name, value) not in self._constants:
            return Code(f"row[{flat(self._column(use.name, value))}]")
        return value

    def credential(self, value: str, use: Use, name: str = "") -> Code:
        """Return a setting for a value that is not stored."""
        self.secrets.add(value)
        known = self._by_secret.get(value)
        if known is None:
            known = self.new_name(name or self._expected.get(value) or use.name or "token")
            self._by_secret[value] = known
            what = _KINDS[use.kind].format(use.name)
            self.settings.append(PlannedSetting(known, "", f"Credential: {what}", True))
        return Code(f"{known}.get()")

    def _column(self, name: str, value: str) -> str:
        column, number = name, 2
        while self.columns.get(column, value) != value:
            column, number = f"{name}_{number}", number + 1
        self.columns[column] = value
        return column

    def _variable(self, value: str, handed: Handed, use: Use) -> Node:
        place = handed.place
        if isinstance(place, InCookie):
            cookie = f"client.cookies[{flat(place.name)}]"
            return Code(f"unquote({cookie})" if place.is_quoted else cookie)
        name = self.new_name(_called(place, handed, use))
        self._variables[value] = Code(name)
        if isinstance(place, InJson) and not place.is_text:
            self.numbers.add(name)
        self.takes.setdefault(handed.by, []).append(Taken(name, place))
        return Code(name)


def _called(place: Place, handed: Handed, use: Use) -> str:
    """Return a name for a value: that of its key, or, for an ``id``, of the object."""
    key = ""
    if isinstance(place, InJson):
        key = place.key
        if key.lower() != "id":
            return key
    elif isinstance(place, InHtml) or (isinstance(place, InHeader) and not place.is_last_segment):
        return place.name
    what = (use.before or handed.created).rstrip("/").rpartition("/")[2]
    singular = what[:-1] if what.endswith("s") and len(what) > 3 else what
    return f"{singular}_id" if singular.isidentifier() else use.name or "found_id"


def _where(place: Place) -> str:
    if isinstance(place, InJson):
        return "json()" + "".join(f"[{flat(one)}]" for one in place.path)
    if isinstance(place, InHtml):
        return f"the field {place.name}"
    return f"the header {place.name}"
