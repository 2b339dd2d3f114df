"""Pure. Reads OpenAPI documents (3.0 and 3.1) as far as a client needs them.

Their contents are not trusted: types are checked where they are used, and references must point
into the document.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import NamedTuple
from urllib.parse import unquote

from amoc.base.errors import UsageError
from amoc.base.text import cut

MAX_BYTES = 32 << 20
MAX_OPERATIONS = 1_000
MAX_REFERENCES = 32
"""Length of a chain of references."""
METHODS = ("get", "head", "post", "put", "patch", "delete", "options")
NO_SERVER = "http://127.0.0.1:8080"

Object = Mapping[object, object]
"""An object in the document; in YAML its keys may be of any type."""


class Operation(NamedTuple):
    """A method of a path.

    Attributes:
        parameters: Includes those of the path; references are resolved.
        body: Its requestBody; empty if it has none.
        security: Alternatives, each a list of schemes required together.
    """

    method: str
    path: str
    id: str
    summary: str
    parameters: list[Object]
    body: Object
    statuses: list[int]
    security: list[list[str]]


class Document:
    """An OpenAPI document.

    Attributes:
        name: Its name in messages.
        title: The title of the API.
        server: The base URL.
    """

    def __init__(self, content: object, name: str) -> None:
        """Check the parsed contents of the file `name`.

        Raises:
            UsageError: It is not an OpenAPI 3 document.
        """
        self.name = name
        self._root = self._object(content, "the document")
        version = self._root.get("openapi")
        if "swagger" in self._root:
            found = cut(self._root["swagger"])
            raise UsageError(f"{name} must be OpenAPI 3.0 or 3.1, but is Swagger {found}")
        if not isinstance(version, str) or not version.startswith("3."):
            raise UsageError(f"{name} must say openapi: 3.0 or 3.1, got {cut(version)}")
        info = self._object(self._root.get("info") or {}, "info")
        self.title = f"{info.get('title', 'an API')} {info.get('version', '')}".strip()
        self.server = self._server()
        self._paths = self._object(self._root.get("paths") or {}, "paths")

    def resolve(self, value: object, where: str) -> Object:
        """Return `value`, an object, or the object that it refers to.

        Raises:
            UsageError: It is neither.
        """
        for _ in range(MAX_REFERENCES):
            found = self._object(value, where)
            reference = found.get("$ref")
            if reference is None:
                return found
            value = self._at(reference, where)
        raise UsageError(f"{self.name}: {where} refers to itself")

    def scheme(self, name: str) -> Object:
        """Return a security scheme; empty if there is none of that name."""
        components = self.resolve(self._root.get("components") or {}, "components")
        schemes = self.resolve(components.get("securitySchemes") or {}, "securitySchemes")
        return self.resolve(schemes.get(name) or {}, f"security scheme {name}")

    def operations(self) -> Iterator[Operation]:
        """Yield all operations except deprecated ones, in the order of the document.

        Raises:
            UsageError: Something is invalid.
        """
        common = self._security(self._root.get("security"), "security")
        for path, item in self._paths.items():
            where = f"path {path}"
            if not isinstance(path, str) or not path.startswith("/"):
                continue  # an extension
            of_path = self.resolve(item, where)
            for method in METHODS:
                if method not in of_path:
                    continue
                here = f"{method.upper()} {path}"
                one = self.resolve(of_path[method], here)
                if one.get("deprecated") is not True:
                    yield self._operation(method, path, here, of_path, one, common)

    def _operation(
        self,
        method: str,
        path: str,
        where: str,
        of_path: Object,
        one: Object,
        common: list[list[str]],
    ) -> Operation:
        parameters: dict[tuple[str, str], Object] = {}
        for holder in (of_path, one):
            for parameter in self._list(holder.get("parameters"), f"{where}: parameters"):
                found = self.resolve(parameter, f"{where}: a parameter")
                parameters[str(found.get("name")), str(found.get("in"))] = found
        responses = self._object(one.get("responses") or {}, f"{where}: responses")
        codes = [str(code) for code in responses]
        own = self._security(one.get("security"), where)
        return Operation(
            method,
            path,
            str(one.get("operationId") or ""),
            " ".join(str(one.get("summary") or "").split()),
            list(parameters.values()),
            self.resolve(one.get("requestBody") or {}, f"{where}: requestBody"),
            [int(code) for code in codes if len(code) == 3 and code.isdecimal()],
            common if one.get("security") is None else own,
        )

    def _security(self, value: object, where: str) -> list[list[str]]:
        found = self._list(value, f"{where}: security")
        return [list(map(str, self._object(one, f"{where}: security"))) for one in found]

    def _server(self) -> str:
        servers = self._list(self._root.get("servers"), "servers")
        if not servers:
            return NO_SERVER
        server = self._object(servers[0], "servers")
        url = str(server.get("url") or "/")
        variables = self._object(server.get("variables") or {}, "servers: variables")
        for name, variable in variables.items():
            default = self._object(variable, f"server variable {name}").get("default", "")
            url = url.replace(f"{{{name}}}", str(default))
        url = url.rstrip("/")
        return url if url.startswith(("http://", "https://")) else f"{NO_SERVER}{url}"

    def _at(self, reference: object, where: str) -> object:
        if not isinstance(reference, str) or not reference.startswith("#"):
            raise UsageError(
                f"{self.name}: {where} refers to {cut(reference)}; amoc reads only one file:"
                " bundle them"
            )
        found: object = self._root
        for part in filter(None, reference[1:].split("/")):
            key = unquote(part).replace("~1", "/").replace("~0", "~")
            if isinstance(found, list) and key.isdecimal() and int(key) < len(found):
                found = found[int(key)]
            elif isinstance(found, Mapping) and key in found:
                found = found[key]
            else:
                raise UsageError(
                    f"{self.name}: {where} refers to {reference}, which does not exist"
                )
        return found

    def _object(self, value: object, where: str) -> Object:
        if not isinstance(value, Mapping):
            raise UsageError(f"{self.name}: {where} must be an object, got {cut(value)}")
        return value

    def _list(self, value: object, where: str) -> list[object]:
        if value is None:
            return []
        if not isinstance(value, list):
            raise UsageError(f"{self.name}: {where} must be a list, got {cut(value)}")
        return value


def parse(content: bytes, name: str) -> Document:
    """Parse the document in the file `name`, which is JSON or YAML.

    Raises:
        UsageError: It is neither, or not an OpenAPI 3 document, or PyYAML is missing.
    """
    try:
        found = json.loads(content)
    except RecursionError:
        raise UsageError(f"{name} nests too deeply") from None
    except ValueError as error:
        if content.lstrip()[:1] in (b"{", b"["):
            raise UsageError(f"{name} is not valid JSON: {error}") from None
        found = _yaml(content, name)
    return Document(found, name)


def _yaml(content: bytes, name: str) -> object:
    try:
        import yaml
    except ModuleNotFoundError:
        raise UsageError(f"{name} is YAML, which needs PyYAML: pip install 'amoc[yaml]'") from None

    class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
        """Keeps dates as text, as in JSON."""

        yaml_implicit_resolvers = {  # noqa: RUF012 - the base class's
            first: [one for one in known if one[0] != "tag:yaml.org,2002:timestamp"]
            for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
        }

    try:
        return yaml.load(content, Loader)  # noqa: S506 - derived from a safe loader
    except RecursionError:
        raise UsageError(f"{name} nests too deeply") from None
    except (yaml.YAMLError, ValueError) as error:
        text = " ".join(str(error).split())
        raise UsageError(f"{name} is neither JSON nor valid YAML: {text[:200]}") from None
