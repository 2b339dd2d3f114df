"""Pure. Which exchanges of a recording a scenario repeats, and which are left out and why."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple
from urllib.parse import SplitResult, urljoin, urlsplit

from amoc.base.errors import UsageError
from amoc.base.text import counted
from amoc.recording.exchange import Exchange

MAX_KEPT = 2_000
_STATIC_TYPE = re.compile(
    r"(image|font|audio|video)/|text/css$|.*(javascript|ecmascript|font|wasm)"
)
_STATIC_PATH = re.compile(
    r".*\.(avif|bmp|css|eot|gif|ico|jpe?g|js|m4a|map|mjs|mp[34]|ogg|otf|png|svg|ttf|wasm|webm|webp"
    r"|woff2?)",
    re.IGNORECASE,
)
_WHITESPACE = re.compile(r"[\x00-\x20\x7f]")


class Origin(NamedTuple):
    """A server."""

    scheme: str
    host: str
    """Without its port if that is the scheme's default."""

    @property
    def url(self) -> str:
        """Its base URL."""
        return f"{self.scheme}://{self.host}"


@dataclass(frozen=True)
class Kept:
    """An exchange that is repeated.

    Attributes:
        exchange: As recorded; if redirects were followed, its answer is the last one.
        origin: Its server.
        parts: Its URL.
        follows: Whether the client should follow its redirects.
    """

    exchange: Exchange
    origin: Origin
    parts: SplitResult
    follows: bool = True


class Selection(NamedTuple):
    """The exchanges that are kept, those that are not, and the server of the pages."""

    base: Origin
    kept: list[Kept]
    left_out: Counter[str]
    """The number of requests, by reason."""


def select(
    exchanges: Iterable[Exchange], hosts: Collection[str], everything: bool, name: str
) -> Selection:
    """Choose what to repeat.

    Args:
        exchanges: In the order in which they started.
        hosts: Hosts to keep besides that of the first page, as they appear in URLs.
        everything: Whether to keep static files and requests to other hosts.
        name: The recording's name, for messages.

    Raises:
        UsageError: Nothing or too much is left, or one of `hosts` is not in the recording.
    """
    left_out: Counter[str] = Counter()
    usable: list[tuple[Exchange, Origin, SplitResult]] = []
    for one in exchanges:
        reason, parts = _unusable(one)
        if reason:
            left_out[reason] += 1
        elif parts is not None:
            usable.append((one, _origin(parts), parts))
    if not usable:
        raise UsageError(f"{name} has no HTTP request to replay{_reasons(left_out)}")
    first = next((one for one in usable if one[0].is_navigation), usable[0])
    base, known = first[1], {one[1].host for one in usable}
    for host in hosts:
        if host not in known:
            raise UsageError(
                f"--host {host} is not in {name}; it has {', '.join(sorted(known)[:20])}"
            )
    ours = {base.host, *hosts}
    kept: list[Kept] = []
    for exchange, origin, parts in usable:
        if not everything and origin.host not in ours:
            left_out[f"to {origin.host} (--host {origin.host})"] += 1
        elif not everything and _is_static(exchange, parts):
            left_out["for static files (--all)"] += 1
        else:
            kept.append(Kept(exchange, origin, parts))
    if not kept:
        raise UsageError(f"{name} has no requests to replay{_reasons(left_out)}")
    kept = _followed(kept, left_out)
    if len(kept) > MAX_KEPT:
        raise UsageError(
            f"{name} must leave at most {MAX_KEPT:,} requests to replay, but leaves {len(kept):,};"
            " record less at a time"
        )
    return Selection(base, kept, left_out)


def _reasons(left_out: Counter[str]) -> str:
    reasons = ", ".join(
        f"{counted(count, 'request')} {reason}" for reason, count in left_out.most_common(5)
    )
    return f"; left out: {reasons}" if reasons else ""


def _unusable(one: Exchange) -> tuple[str, SplitResult | None]:
    """Return why a request cannot be repeated at all; if it can, an empty text and its URL."""
    try:
        parts = urlsplit(one.url)
        has_host = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return "with an invalid URL", None
    if parts.scheme in ("ws", "wss") or one.answer.status == 101:
        return "for WebSockets", None
    if parts.scheme not in ("http", "https"):
        return f"not over HTTP ({parts.scheme[:20] or 'no scheme'})", None
    if not has_host or _WHITESPACE.search(one.url):
        return "with an invalid URL", None
    if one.method == "CONNECT":
        return "to a proxy", None
    if one.method == "OPTIONS" and one.header("access-control-request-method"):
        return "for CORS preflight", None
    if one.answer.status < 100:
        return "without a response", None
    return "", parts


def _origin(parts: SplitResult) -> Origin:
    usual = {"http": 80, "https": 443}[parts.scheme]
    host = (parts.hostname or "").lower()
    host = f"[{host}]" if ":" in host else host
    port = parts.port
    return Origin(parts.scheme, host if port in (None, usual) else f"{host}:{port}")


def _is_static(one: Exchange, parts: SplitResult) -> bool:
    if one.method not in ("GET", "HEAD"):
        return False
    is_page = one.answer.type in ("text/html", "application/json")
    return not is_page and bool(
        _STATIC_TYPE.match(one.answer.type) or _STATIC_PATH.fullmatch(parts.path)
    )


def _followed(kept: Sequence[Kept], left_out: Counter[str]) -> list[Kept]:
    """Return `kept` without targets of redirects, which the client requests automatically."""
    ours = {one.origin for one in kept}
    found: list[Kept] = []
    waiting: dict[str, int] = {}
    for one in kept:
        at = waiting.pop(_bare(one.exchange.url), None)
        target = ""
        if 300 <= one.exchange.answer.status < 400 and one.exchange.answer.location:
            target = _target(one.exchange)
        if at is not None:
            before = found[at]
            found[at] = replace(before, exchange=_joined(before.exchange, one.exchange))
            left_out["after a redirect, which the client follows"] += 1
        else:
            at = len(found)
            found.append(one)
        if target:
            try:
                leads_to = _origin(urlsplit(target))
            except (KeyError, ValueError):
                leads_to = None
            if leads_to in ours:
                waiting[_bare(target)] = at
            else:
                found[at] = replace(found[at], follows=False)
    return found


def _joined(first: Exchange, last: Exchange) -> Exchange:
    """Return a request with the answer at the end of its redirects, with the cookies of both."""
    cookies = [one for one in first.answer.headers if one[0] == "set-cookie"]
    answer = replace(last.answer, headers=cookies + last.answer.headers)
    return replace(first, answer=answer, ended_s=last.ended_s)


def _target(one: Exchange) -> str:
    try:
        return urljoin(one.url, one.answer.location)
    except ValueError:
        return ""


def _bare(url: str) -> str:
    return url.partition("#")[0]
