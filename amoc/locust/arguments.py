"""Pure. What a request takes in Locust, as `requests` spells it, put into amoc's words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from amoc.locust.exceptions import NotCarried

_IGNORED: Final = frozenset({"context", "catch_response", "name", "stream", "verify", "cert"})
"""What the client sees to itself."""
_CARRIED: Final = _IGNORED | {
    *("allow_redirects", "auth", "cookies", "data", "files", "headers", "json", "params"),
    "timeout",
}
TOKEN_PARTS: Final = 2


def options_of(
    given: Mapping[str, Any], cookies: Mapping[str, str], json_accept: bool
) -> dict[str, Any]:
    """The options of amoc's request; `params` are left to whoever makes the URL.

    Args:
        given: What the locustfile gives.
        cookies: Those of the session, which a request's own come on top of.
        json_accept: Whether a request with JSON asks for JSON, unless its headers say otherwise.

    Raises:
        NotCarried: It is something else.
    """
    if unknown := given.keys() - _CARRIED:
        raise NotCarried(f"{min(unknown)}= of a request")
    options: dict[str, Any] = {}
    headers = dict(given.get("headers") or {})
    _put_body(options, headers, given, json_accept)
    if own := given.get("cookies"):
        both = {**cookies, **dict(own)}
        headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in both.items())
    if headers:
        options["headers"] = headers
    if (auth := given.get("auth")) is not None:
        options["auth"] = login(auth)
    if (timeout := given.get("timeout")) is not None:
        options["timeout"] = seconds(timeout)
    if given.get("allow_redirects") is False:
        options["redirects"] = 0
    return options


def _put_body(
    options: dict[str, Any], headers: dict[str, Any], given: Mapping[str, Any], json_accept: bool
) -> None:
    data, json, files = given.get("data"), given.get("json"), given.get("files")
    is_form = isinstance(data, Mapping) or (
        isinstance(data, list | tuple) and all(isinstance(one, tuple) for one in data)
    )
    if files:
        options["files"] = _files(files)
        if data:
            options["form"] = _fields(data)
    elif data:
        if is_form:
            options["form"] = _fields(data)
        else:
            options["data"] = data.encode() if isinstance(data, str) else data
    elif json is not None:
        options["json"] = json
        if json_accept and "accept" not in {name.lower() for name in headers}:
            headers["Accept"] = "application/json"


def _fields(data: Any) -> list[tuple[str, object]]:
    pairs = data.items() if isinstance(data, Mapping) else data
    return [(name, value) for name, value in pairs if value is not None]


def _files(files: Any) -> list[tuple[str, Any]]:
    pairs: Iterable[tuple[str, Any]] = files.items() if isinstance(files, Mapping) else files
    found = []
    for field, file in pairs:
        if isinstance(file, tuple | list) and len(file) > 3:
            raise NotCarried("headers of a file in files=")
        found.append((field, tuple(file) if isinstance(file, list) else file))
    return found


def login(auth: Any) -> tuple[str, str]:
    """User and password, which may come as an object that has both.

    Raises:
        NotCarried: It is another way to log in.
    """
    if isinstance(auth, tuple | list) and len(auth) == TOKEN_PARTS:
        return _text(auth[0]), _text(auth[1])
    if hasattr(auth, "username") and hasattr(auth, "password") and "Digest" not in repr(type(auth)):
        return _text(auth.username), _text(auth.password)
    raise NotCarried(f"auth={type(auth).__name__}(…)")


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def seconds(timeout: Any) -> float:
    """A time-out for a whole request; of one for connecting and one for reading, both together."""
    if isinstance(timeout, tuple | list):
        return float(sum(one for one in timeout if one is not None)) or 1e8
    return float(timeout)


def query(params: Any) -> list[tuple[str, object]]:
    """Parameters of a query, pair by pair; those that are None are left out."""
    pairs: Iterable[tuple[str, object]] = (
        params.items() if isinstance(params, Mapping) else params or ()
    )
    return [
        (name, one)
        for name, value in pairs
        for one in (value if isinstance(value, list | tuple | set) else (value,))
        if one is not None
    ]
