"""Pure. Converts an OpenAPI document: a function per operation, from which users pick."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from urllib.parse import quote

from amoc.base.errors import UsageError
from amoc.base.text import counted
from amoc.recording import openapi, parts, secret_values
from amoc.recording.files import Written
from amoc.recording.openapi import MAX_BYTES, Document, Object, Operation
from amoc.recording.openapi_auth import Credentials
from amoc.recording.openapi_examples import Examples
from amoc.recording.python_text import Call, Code, Node, identifier, one_line, rendered
from amoc.recording.request_bodies import FORM, MAX_DEPTH, MULTIPART

READS = frozenset({"get", "head", "options"})
READ_WEIGHT = 10
"""How often a reading operation is picked, relative to one that changes something."""
MAX_NUMBER = 1e300
_RESERVED = frozenset(
    {"base", "check", "client", "http", "init", "OPERATIONS", "pause", "setting", "start", "user"}
    | {"user_id", "Error", "expect", "override", "bytes"}
)
_PLACE = re.compile(r"\{([^{}/]*)\}")
_WORD = re.compile(r"[A-Za-z_]\w*")
_START = """

def start(user_id):
    with {session} as client:
        while not user.wait_stopping(pause.get() * user.random.uniform(0.5, 1.5)):
            user.pick(OPERATIONS)(client)
"""
_PAUSE = """\
pause = setting(1.0, "Mean seconds between two requests", verify=lambda s: s > 0)
"""


class _Writer:
    def __init__(self, document: Document, taken_names: Iterable[str]) -> None:
        self._document = document
        self._examples = Examples(document)
        self._names = {*_RESERVED, *taken_names}
        self.credentials = Credentials(document, self._names)
        self.guesses = 0

    def function(self, one: Operation) -> tuple[str, str]:
        """Return the name and the text of an operation's function."""
        called = one.id or f"{one.method} {one.path}"
        name = identifier(called, self._names, "operation")
        self._names.add(name)
        comments: list[str] = []
        options = self._parameters(one, comments) + self._body(one, comments)
        call = Call(f"client.{one.method}", [("", _template(one.path)), *options])
        good = sorted({status for status in one.statuses if 200 <= status < 300})
        lines = [f"def {name}(client):\n"]
        if one.summary:
            lines.append(f"    {_docstring(one.summary)}\n")
        lines += [f"    # {one_line(comment)}\n" for comment in comments]
        if not good:
            lines.append(f"    {rendered(call, 1)}\n")
            return name, "".join(lines)
        wanted: Node = good[0] if len(good) == 1 else tuple(good)
        lines.append(f"    answer = {rendered(call, 1, 9)}\n")
        lines.append(f"    {rendered(Call('answer.check', [('status', wanted)]), 1)}\n")
        return name, "".join(lines)

    def _parameters(self, one: Operation, comments: list[str]) -> list[tuple[str, Node]]:
        where = f"{one.method.upper()} {one.path}"
        places: dict[str, dict[str, Node]] = {"path": {}, "query": {}, "header": {}, "cookie": {}}
        for parameter in one.parameters:
            name, place = str(parameter.get("name") or ""), str(parameter.get("in"))
            has_own = "example" in parameter or "examples" in parameter
            is_wanted = parameter.get("required") is True or has_own or place == "path"
            if place not in places or not is_wanted:
                continue
            if place == "path" and f"{{{name}}}" not in one.path:
                continue
            value = self._examples.of_holder(_with_schema(parameter), f"{where}: {name}")
            if self._examples.guessed and place == "path":
                comments.append(f"{name} has no example: use one that exists")
                self.guesses += 1
            places[place][name] = self._node(name, value)
        missing = [name for name in _PLACE.findall(one.path) if name not in places["path"]]
        for name in missing:
            places["path"][name] = "1"
            comments.append(f"{name} is not described: use one that exists")
        path = {_word(name): value for name, value in places["path"].items()}
        places["query"] |= self.credentials.query(one)
        if places["cookie"]:
            cookies = "; ".join(f"{name}={_plain(one)}" for name, one in places["cookie"].items())
            places["header"]["Cookie"] = cookies
        headers = {
            name: _plain(value) if not isinstance(value, Code) else value
            for name, value in places["header"].items()
            if name.lower() not in ("accept", "content-type", "authorization")
        }
        return [
            *((("path", path),) if path else ()),
            *((("params", places["query"]),) if places["query"] else ()),
            *((("headers", headers),) if headers else ()),
            *self.credentials.auth(one),
        ]

    def _body(self, one: Operation, comments: list[str]) -> list[tuple[str, Node]]:
        content = one.body.get("content")
        if not isinstance(content, Mapping) or not content:
            return []
        where = f"{one.method.upper()} {one.path}: requestBody"
        kinds = {str(kind).partition(";")[0].strip().lower(): kind for kind in content}
        for kind, key in kinds.items():
            if kind.endswith(("/json", "+json")) or kind == "*/*":
                media = self._document.resolve(content[key], where)
                return [("json", self._node("", self._examples.of_holder(media, where)))]
        for kind in (FORM, MULTIPART):
            if kind in kinds:
                media = self._document.resolve(content[kinds[kind]], where)
                return self._form(media, where, kind == MULTIPART)
        kind, key = next(iter(kinds.items()))
        value = self._examples.of_holder(self._document.resolve(content[key], where), where)
        if not isinstance(value, str):
            comments.append(f"the document has no example of a body that is {kind}")
        text = value if isinstance(value, str) else ""
        return [("data", text), ("headers", {"Content-Type": str(key)})]

    def _form(self, media: Object, where: str, is_multipart: bool) -> list[tuple[str, Node]]:
        example = self._examples.of_holder(media, where)
        fields = example if isinstance(example, Mapping) else {}
        schema = self._document.resolve(media.get("schema") or {}, where)
        binary = set()
        properties = schema.get("properties")
        for name, part in properties.items() if isinstance(properties, Mapping) else ():
            found = self._document.resolve(part, where) if isinstance(part, Mapping) else {}
            if found.get("format") == "binary" or "contentMediaType" in found:
                binary.add(name)
        form = {
            str(name): self._node(str(name), value if isinstance(value, list) else _plain(value))
            for name, value in fields.items()
            if name not in binary
        }
        if not is_multipart:
            return [("form", form)]
        files: dict[str, Node] = {
            str(name): (f"{name}.bin", Code("bytes(1000)")) for name in fields if name in binary
        }
        return [("files", files), *((("form", form),) if form else ())]

    def _node(self, name: str, value: object, depth: int = 0) -> Node:
        """Return a value as an expression, with settings for credentials."""
        if isinstance(value, Mapping):
            if depth > MAX_DEPTH:
                return {}
            return {str(key): self._node(str(key), one, depth + 1) for key, one in value.items()}
        if isinstance(value, list):
            return (
                [self._node(name, one, depth + 1) for one in value[:100]]
                if depth <= MAX_DEPTH
                else []
            )
        if isinstance(value, str) and name and secret_values.is_secret(name, value):
            return self.credentials.named(name, f"field or parameter {name}")
        if isinstance(value, int | float) and not isinstance(value, bool):
            return value if abs(value) < MAX_NUMBER else None  # also if it is NaN
        return value if value is None or isinstance(value, str | bool) else str(value)


def _with_schema(parameter: Object) -> Object:
    """Return a parameter with a schema, which may be that of its media type."""
    content = parameter.get("content")
    if "schema" not in parameter and isinstance(content, Mapping) and content:
        first = next(iter(content.values()))
        return {**parameter, **(first if isinstance(first, Mapping) else {})}
    return parameter


def _plain(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or value is None or isinstance(value, list | dict):
        return json.dumps(value, default=str)
    return str(value)


def _word(name: str) -> str:
    """Return the name of a path parameter in the form that `amoc.http` accepts."""
    return name if _WORD.fullmatch(name) else identifier(name, ())


def _template(path: str) -> str:
    """Return a path in the form that `amoc.http` accepts."""
    words = _PLACE.sub(lambda found: f"{{{_word(found[1])}}}", path)
    return quote(words, safe="/{}:@!$&'()*+,;=~%-._")


def _docstring(text: str) -> str:
    shown = one_line(text).replace("\\", "/").replace('"""', "'''")[:100].rstrip('" ')
    return f'"""{shown}{"" if shown.endswith((".", "!", "?")) else "."}"""'


def convert(content: bytes, source: str, name: str, taken_names: Iterable[str] = ()) -> Written:
    """Convert a document to a scenario.

    Args:
        content: The document, JSON or YAML.
        source: Its name, for messages.
        name: The scenario's name.
        taken_names: Names of existing settings.

    Raises:
        UsageError: The file is not an OpenAPI 3 document, or has nothing to call.
    """
    document = openapi.parse(content, source)
    operations = list(document.operations())
    if not operations:
        raise UsageError(f"{source} has no operations, or only deprecated ones")
    if len(operations) > openapi.MAX_OPERATIONS:
        raise UsageError(
            f"{source} must have at most {openapi.MAX_OPERATIONS:,} operations, but has"
            f" {len(operations):,}"
        )
    writer = _Writer(document, taken_names)
    writer.credentials.choose(operations)
    functions = [writer.function(one) for one in operations]
    weights = [
        f"    {function}: {READ_WEIGHT if one.method in READS else 1},\n"
        for one, (function, _) in zip(operations, functions, strict=True)
    ]
    credentials = writer.credentials
    arguments = [("", Code("base.get()")), *credentials.of_session()]
    session = rendered(Call("http.session", arguments), 1, len("with "), len(" as client:"))
    body = parts.setting_text("base", document.server, "Base address of the API")
    for setting in credentials.settings:
        body += parts.setting_text(setting.name, setting.default, setting.description)
    body += _PAUSE
    body += parts.init_text(credentials.settings)
    body += _START.format(session=session)
    body += "".join(f"\n\n{text}" for _, text in functions)
    body += f"\n\nOPERATIONS = {{\n{''.join(weights)}}}\n"
    count = counted(len(operations), "operation")
    opening = f"{_clean(document.title)}: {count}, from {_clean(source)}."
    notes = [opening, f"the server is {document.server}; --set base=… selects another one"]
    notes += parts.credential_notes(credentials.settings)
    if writer.guesses:
        notes.append(f"{writer.guesses} values in paths have no example; comments say which")
    return Written({f"{name}.py": (parts.head_text(opening, name, body) + body).encode()}, notes)


def _clean(text: str) -> str:
    """Return text that is safe in a docstring."""
    return one_line(text).replace("\\", "/").replace('"', "'")[:100]


__all__ = ["MAX_BYTES", "convert"]
