"""Pure. Arguments of requests in Locust, in the style of `requests`, converted to amoc's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from amoc.locust.exceptions import NotCarried

_IGNORED: Final = frozenset({"context", "catch_response", "name", "stream", "verify", "cert"})
"""Arguments that the client handles itself."""
_CARRIED: Final = _IGNORED | {
    *("allow_redirects", "auth", "cookies", "data", "files", "headers", "json", "params"),
    "timeout",
}
TOKEN_PARTS: Final = 2


def options_of(
    given: Mapping[str, Any], cookies: Mapping[str, str], json_accept: bool
) -> dict[str, Any]:
    """Return the options of amoc's request. `params` are left to the caller, which makes the URL.

    Args:
        given: Arguments of the locustfile's call.
        cookies: Cookies of the session, to which the request's own are added.
        json_accept: Whether requests with JSON have the header Accept for JSON by default.

    Raises:
        NotCarried: An argument is not supported.
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
    """Return user and password, which may be attributes of an object.

    Raises:
        NotCarried: It is another kind of authentication.
    """
    if isinstance(auth, tuple | list) and len(auth) == TOKEN_PARTS:
        return _text(auth[0]), _text(auth[1])
    if hasattr(auth, "username") and hasattr(auth, "password") and "Digest" not in repr(type(auth)):
        return _text(auth.username), _text(auth.password)
    raise NotCarried(f"auth={type(auth).__name__}(…)")


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def seconds(timeout: Any) -> float:
    """Return the timeout of a whole request; of a (connect, read) pair the sum."""
    if isinstance(timeout, tuple | list):
        return float(sum(one for one in timeout if one is not None)) or 1e8
    return float(timeout)


def query(params: Any) -> list[tuple[str, object]]:
    """Return query parameters as pairs, without those that are None."""
    pairs: Iterable[tuple[str, object]] = (
        params.items() if isinstance(params, Mapping) else params or ()
    )
    return [
        (name, one)
        for name, value in pairs
        for one in (value if isinstance(value, list | tuple | set) else (value,))
        if one is not None
    ]
