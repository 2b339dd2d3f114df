"""Pure. Arguments of requests in Locust, in the style of `requests`, converted to amoc's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, TypedDict

from amoc.base.errors import ScenarioError
from amoc.http.bodies import Data, File, Form
from amoc.locust.exceptions import NotCarried

TOKEN_PARTS: Final = 2
Cert = str | tuple[str, str] | None
"""Client certificate: a file, or the files of certificate and key."""


class CommonOptions(TypedDict, total=False):
    """Arguments of all requests, besides those that some methods name themselves."""

    params: Form | str | bytes | None
    files: Mapping[str, File] | Iterable[tuple[str, File]] | None
    headers: Mapping[str, object] | None
    cookies: Mapping[str, str] | None
    auth: object
    timeout: float | tuple[float | None, float | None] | None
    allow_redirects: bool
    # The others are left to the client.
    stream: bool
    verify: bool | str | None
    cert: Cert | list[str]
    context: Mapping[str, object] | None


class RequestOptions(CommonOptions, total=False):
    """Arguments of `HttpSession.request`, in addition."""

    data: Data | Form | None
    json: object


class PostOptions(CommonOptions, total=False):
    """Arguments of `HttpSession.post`, in addition."""

    name: str | None
    catch_response: bool


class PutOptions(PostOptions, total=False):
    """Arguments of `HttpSession.put`, in addition."""

    json: object


class CallOptions(PutOptions, total=False):
    """Arguments of `HttpSession.get`, in addition."""

    data: Data | Form | None


def options_of(
    given: RequestOptions, cookies: Mapping[str, str], json_accept: bool
) -> dict[str, object]:
    """Return the options of amoc's request. `params` are left to the caller, which makes the URL.

    Args:
        given: Arguments of the locustfile's call.
        cookies: Cookies of the session, to which the request's own are added.
        json_accept: Whether requests with JSON have the header Accept for JSON by default.

    Raises:
        NotCarried: An argument is not supported.
        ScenarioError: The data for `files` is not a form.
    """
    if unknown := given.keys() - RequestOptions.__optional_keys__:
        raise NotCarried(f"{min(unknown)}= of a request")
    options: dict[str, object] = {}
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
    options: dict[str, object], headers: dict[str, object], given: RequestOptions, json_accept: bool
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


def _fields(data: object) -> list[tuple[str, object]]:
    pairs = data.items() if isinstance(data, Mapping) else data
    if isinstance(pairs, str | bytes) or not isinstance(pairs, Iterable):
        raise ScenarioError(f"data with files must be a form, got {type(data).__name__}")
    return [(name, value) for name, value in pairs if value is not None]


def _files(files: Mapping[str, File] | Iterable[tuple[str, File]]) -> list[tuple[str, object]]:
    pairs: Iterable[tuple[str, object]] = files.items() if isinstance(files, Mapping) else files
    found: list[tuple[str, object]] = []
    for field, file in pairs:
        if isinstance(file, tuple | list) and len(file) > 3:
            raise NotCarried("headers of a file in files=")
        found.append((field, tuple(file) if isinstance(file, list) else file))
    return found


def login(auth: object) -> tuple[str, str]:
    """Return user and password, which may be attributes of an object.

    Raises:
        NotCarried: It is another kind of authentication.
    """
    if isinstance(auth, tuple | list) and len(auth) == TOKEN_PARTS:
        return _text(auth[0]), _text(auth[1])
    if hasattr(auth, "username") and hasattr(auth, "password") and "Digest" not in repr(type(auth)):
        return _text(auth.username), _text(auth.password)
    raise NotCarried(f"auth={type(auth).__name__}(…)")


def _text(value: object) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def seconds(timeout: float | tuple[float | None, float | None]) -> float:
    """Return the timeout of a whole request; of a (connect, read) pair the sum."""
    if isinstance(timeout, tuple | list):
        return float(sum(one for one in timeout if one is not None)) or 1e8
    return float(timeout)


def certificate(cert: Cert | list[str]) -> Cert:
    """Return a client certificate, of which the two files may be in a list."""
    if isinstance(cert, list):
        return (cert[0], cert[1]) if cert else None
    return cert or None


def query(params: Form | None) -> list[tuple[str, object]]:
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
