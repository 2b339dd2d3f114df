"""Pure. Authorization in a scenario, by the security schemes of an OpenAPI document."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from amoc.recording.openapi import Document, Operation
from amoc.recording.plan import PlannedSetting
from amoc.recording.python_text import Code, Node, identifier


class Credentials:
    """Settings for credentials, and where to send them.

    Attributes:
        settings: All settings requested so far.
    """

    def __init__(self, document: Document, names: set[str]) -> None:
        """Start without any; names of settings are added to `names`."""
        self.settings: list[PlannedSetting] = []
        self._document = document
        self._names = names
        self._known: dict[str, Code] = {}
        self._common: str = ""
        self._headers: dict[str, Node] = {}
        self._cookies: dict[str, Node] = {}

    def named(self, name: str, what: str) -> Code:
        """Return the setting for credential `name`, creating it if necessary."""
        if name not in self._known:
            made = identifier(name, self._names, "credential")
            self._names.add(made)
            self._known[name] = Code(f"{made}.get()")
            self.settings.append(PlannedSetting(made, "", f"Credential: {what}", True))
        return self._known[name]

    def choose(self, operations: Sequence[Operation]) -> None:
        """Decide what the session sends: the scheme that most operations require, and keys."""
        wanted: Counter[str] = Counter()
        for one in operations:
            for name in self._of(one):
                scheme = self._document.scheme(name)
                key = str(scheme.get("name") or "")
                if scheme.get("type") != "apiKey":
                    wanted[name] += 1
                elif scheme.get("in") == "header" and key:
                    self._headers[key] = self.named(name, f"header {key}")
                elif scheme.get("in") == "cookie" and key:
                    self._cookies[key] = self.named(name, f"cookie {key}")
        self._common = wanted.most_common(1)[0][0] if wanted else ""

    def of_session(self) -> list[tuple[str, Node]]:
        """Return the arguments for the session."""
        found = self._auth(self._common) if self._common else []
        if self._headers:
            found.append(("headers", self._headers))
        if self._cookies:
            found.append(("cookies", self._cookies))
        return found

    def auth(self, one: Operation) -> list[tuple[str, Node]]:
        """Return the argument for a request whose authorization differs from the session's."""
        for name in self._of(one):
            if name != self._common and self._document.scheme(name).get("type") != "apiKey":
                return self._auth(name)
        return []

    def query(self, one: Operation) -> dict[str, Node]:
        """Return the keys sent in the query."""
        found: dict[str, Node] = {}
        for name in self._of(one):
            scheme = self._document.scheme(name)
            if scheme.get("type") == "apiKey" and scheme.get("in") == "query":
                key = str(scheme.get("name") or name)
                found[key] = self.named(name, f"parameter {key}")
        return found

    def _of(self, one: Operation) -> list[str]:
        """Return the schemes of the first alternative; none if authorization is optional."""
        return one.security[0] if one.security and [] not in one.security else []

    def _auth(self, name: str) -> list[tuple[str, Node]]:
        scheme = self._document.scheme(name)
        if str(scheme.get("scheme")).lower() == "basic":
            user = self.named("username", f"user of {name}")
            return [("auth", (user, self.named("password", f"password of {name}")))]
        called = name if "token" in name.lower() else f"{name}_token"
        token = self.named(called, f"token of {name}")
        return [("auth", Code(f"http.bearer({token.text})"))]
