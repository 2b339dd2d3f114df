"""Pure. A recorded request as a call of `amoc.http`: its URL, its headers and its body."""

from __future__ import annotations

import base64
import binascii
import json
import mimetypes
import re
from collections.abc import Sequence
from urllib.parse import parse_qsl, unquote

from amoc.recording import request_names
from amoc.recording.exchange import Exchange, File, FormBody, JsonBody, RawBody
from amoc.recording.origins import Use
from amoc.recording.plan import PlannedRequest
from amoc.recording.python_text import Code, Node, flat
from amoc.recording.request_names import ID
from amoc.recording.selection import Kept
from amoc.recording.value_plan import Values

MAX_INLINE = 2_000
"""Maximum size in characters of a body inside the scenario; longer ones become files."""
_BROWSERS_OWN = re.compile(
    r"sec-.*|if-.*|:.*|proxy-.*|accept-(encoding|language|charset)|access-control-.*"
    r"|connection|cache-control|content-(length|type|encoding)|cookie|dnt|expect|host|keep-alive"
    r"|origin|pragma|priority|referer|te|trailer|transfer-encoding|upgrade|user-agent"
    r"|upgrade-insecure-requests|x-(client-data|devtools-.*)"
)
"""Headers that the client sends automatically, or that identify the browser."""
_IN_TEXT = re.compile(
    r"((?:password|passwd|secret|token|api_?key)[\"']?\s*[>:=]\s*[\"']?)([^<\"'&\s]+)",
    re.IGNORECASE,
)
_SEARCH = re.compile(r"q|query|term|search.*|.*keywords?", re.IGNORECASE)
"""Query parameters that people type."""
_OPERATION = re.compile(r"[A-Za-z_]\w{0,60}")


class RequestPlanner:
    """Plans the call that repeats a request.

    Attributes:
        files: The files with its body or uploads, if it has any: content by path.
    """

    def __init__(self, kept: Kept, number: int, values: Values, prefix: str, files: str) -> None:
        """Plan a call.

        Args:
            kept: The request.
            number: Its number among the kept ones.
            values: Decides what to send for each of its values.
            prefix: Precedes the path in an f-string: ``{other.get()}``; empty for the base URL.
            files: The directory for bodies stored in files.
        """
        self.kept = kept
        self.exchange: Exchange = kept.exchange
        self.values = values
        self.prefix = prefix
        self.files: dict[str, bytes] = {}
        self.comments: list[str] = []
        self._file_name = f"{files}/{number}"
        self._sent: list[str] = []

    def _node(self, value: str, use: Use, typed: bool = False) -> Node:
        self._sent.append(value)
        return self.values.node(value, use, self.comments, typed)

    def plan(self) -> PlannedRequest:
        """Return the call."""
        url, name = self._path()
        options: list[tuple[str, Node]] = []
        raw_query, params = self._query()
        if raw_query:
            url = (
                Code(f'{url.text[:-1]}?{_in_f_string(raw_query)}"')
                if isinstance(url, Code)
                else f"{url}?{raw_query}"
            )
        if params:
            options.append(("params", params))
        body, media = self._body()
        options += body
        operation = self._operation()
        if operation:
            name = f"{name} {operation}"
        plain = f"{self.exchange.method} {self.kept.parts.path or '/'}"
        if name != plain or isinstance(url, Code):
            options.append(("name", name))
        if basic := self._basic():
            user, password = basic
            options.append(
                (
                    "auth",
                    (
                        self.values.credential(user, Use("header", "authorization"), "username"),
                        self.values.credential(
                            password, Use("header", "authorization"), "password"
                        ),
                    ),
                )
            )
        headers = self._headers(basic is not None)
        if media:
            headers["Content-Type"] = media
        if self.exchange.answer.status >= 400:
            options.append(("allow", self.exchange.answer.status))
            self.comments.append(f"status was {self.exchange.answer.status} when recorded")
        if not self.kept.follows:
            options.append(("redirects", 0))
            self.comments.append("redirects to a server that is left out")
        request = PlannedRequest(
            self.exchange.method,
            name,
            url,
            options,
            headers,
            self.comments,
            is_home=not self.prefix,
        )
        for value in self._sent:
            self.values.origins.sent(value)
        return request

    def _path(self) -> tuple[str | Code, str]:
        """Return the path as an expression, and the request's name."""
        raw = (self.kept.parts.path or "/").split("/")
        parts, shown = [], []
        for at, segment in enumerate(raw):
            node = self._node(unquote(segment), Use("path", "", "/".join(raw[:at])))
            is_code = isinstance(node, Code)
            parts.append(f"{{{node.text}}}" if isinstance(node, Code) else _in_f_string(segment))
            shown.append(ID if is_code else segment)
        name = request_names.name(self.exchange.method, "/".join(shown))
        if not self.prefix and shown == raw:
            return "/".join(raw), name
        return Code(f'f"{self.prefix}{"/".join(parts)}"'), name

    def _query(self) -> tuple[str, Node]:
        """Return the query as a part of the URL, or its parameters."""
        query = self.kept.parts.query
        if not query:
            return "", None
        pairs = parse_qsl(query, keep_blank_values=True)
        if not pairs or any("=" not in one for one in query.split("&")):
            return query, None
        return "", _pairs(
            [
                (name, self._node(value, Use("query", name), bool(_SEARCH.fullmatch(name))))
                for name, value in pairs
            ]
        )

    def _headers(self, is_authorized: bool) -> dict[str, Node]:
        found: dict[str, Node] = {}
        for name, value in self.exchange.headers:
            if name == "authorization":
                if not is_authorized:
                    found["Authorization"] = self._authorization(value)
            elif name == "origin" and self.exchange.method not in ("GET", "HEAD"):
                if value == self.kept.origin.url:
                    found["Origin"] = Code(self.prefix[1:-1] or "base.get()")
            elif name == "accept" and (value == "*/*" or self.exchange.is_navigation):
                continue
            elif not _BROWSERS_OWN.fullmatch(name):
                found[name.title()] = self._node(value, Use("header", name))
        return found

    def _authorization(self, value: str) -> Node:
        scheme, _, rest = value.partition(" ")
        if scheme.lower() == "bearer" and rest:
            token, use = rest.strip(), Use("header", "token")
            node = self._node(token, use)
            known = node if isinstance(node, Code) else self.values.credential(token, use)
            return Code(f'f"Bearer {{{known.text}}}"')
        return self.values.credential(value, Use("header", "authorization"))

    def _basic(self) -> tuple[str, str] | None:
        """Return user and password of Basic authorization."""
        scheme, _, rest = self.exchange.header("authorization").partition(" ")
        if scheme.lower() != "basic":
            return None
        try:
            user, colon, password = base64.b64decode(rest, validate=True).decode().partition(":")
        except (binascii.Error, ValueError):
            return None
        return (user, password) if colon else None

    def _operation(self) -> str:
        """Return the name of a GraphQL operation, since all of them use one path."""
        body = self.exchange.body
        if isinstance(body, JsonBody) and isinstance(body.value, dict):
            name = body.value.get("operationName")
            if isinstance(name, str) and "query" in body.value and _OPERATION.fullmatch(name):
                return name
        return ""

    def _body(self) -> tuple[list[tuple[str, Node]], str]:
        """Return the arguments for the body, and its Content-Type if they do not imply it."""
        body = self.exchange.body
        if isinstance(body, FormBody):
            return self._form(body), ""
        if isinstance(body, JsonBody):
            node = self._json(body.value, "", True)
            text = json.dumps(body.value, ensure_ascii=False, indent=1)
            if len(text) > MAX_INLINE and not _has_code(node):
                return [("data", self._in_file(text.encode("utf-8", "replace"), ".json"))], (
                    "application/json"
                )
            return [("json", node)], ""
        if isinstance(body, RawBody) and body.content:
            return self._raw(body)
        return [], ""

    def _json(self, value: object, name: str, is_top: bool = False) -> Node:
        if isinstance(value, dict):
            is_typed = is_top and "operationName" not in value
            return {
                key: self._leaf(one, key, is_typed)
                if isinstance(one, str | int) and not isinstance(one, bool)
                else self._json(one, key)
                for key, one in value.items()
            }
        if isinstance(value, list):
            return [
                self._leaf(one, name, False)
                if isinstance(one, str | int) and not isinstance(one, bool)
                else self._json(one, name)
                for one in value
            ]
        return value  # type: ignore[return-value]  # a literal

    def _leaf(self, value: str | int, name: str, is_typed: bool) -> Node:
        node = self._node(str(value), Use("json", name), is_typed and isinstance(value, str))
        if not isinstance(node, Code):
            return value
        is_number = node.text in self.values.numbers
        if is_number == isinstance(value, int):
            return node
        return Code(f"{type(value).__name__}({node.text})")

    def _form(self, body: FormBody) -> list[tuple[str, Node]]:
        fields = [(name, self._node(value, Use("form", name), True)) for name, value in body.fields]
        options: list[tuple[str, Node]] = []
        if body.is_multipart:
            files = [(name, self._upload(file)) for name, file in body.files]
            options.append(("files", _pairs(files) if files else []))
        if fields or not body.is_multipart:
            options.append(("form", _pairs(fields)))
        return options

    def _upload(self, file: File) -> Node:
        kind = file.type or mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        if file.content is None:
            self.comments.append(f"the recording lacks the content of {file.name}: sends zeros")
            return (file.name, Code("bytes(1000)"), kind)
        if len(file.content) > MAX_INLINE:
            return (file.name, self._in_file(file.content, ""), kind)
        return (file.name, file.content, kind)

    def _raw(self, body: RawBody) -> tuple[list[tuple[str, Node]], str]:
        try:
            text = body.content.decode()
        except ValueError:
            return [("data", self._in_file(body.content, ".bin"))], body.type
        hidden = _IN_TEXT.sub(r"\1hidden", text)
        if hidden != text:
            self.comments.append("'hidden' replaces a credential, which is not stored here")
        if len(hidden) > MAX_INLINE:
            return [("data", self._in_file(hidden.encode(), ".txt"))], body.type
        return [("data", hidden)], body.type or "text/plain"

    def _in_file(self, content: bytes, ending: str) -> Node:
        nth = f"-{len(self.files) + 1}" if self.files else ""
        path = f"{self._file_name}{nth}{ending}"
        self.files[path] = content
        return Code(f"HERE / {flat(path)}")


def _pairs(pairs: Sequence[tuple[str, Node]]) -> Node:
    """Return a dict, or a list of pairs if a name occurs twice."""
    names = [name for name, _ in pairs]
    return dict(pairs) if len(set(names)) == len(names) else [tuple(one) for one in pairs]


def _has_code(node: Node) -> bool:
    if isinstance(node, Code):
        return True
    if isinstance(node, dict):
        return any(map(_has_code, node.values()))
    return isinstance(node, list) and any(map(_has_code, node))


def _in_f_string(text: str) -> str:
    """Return a part of a URL for use in an f-string."""
    quoted = text.replace("\\", "%5C").replace('"', "%22").replace("'", "%27")
    return quoted.replace("{", "{{").replace("}", "}}")
