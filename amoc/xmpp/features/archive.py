"""Message archives (XEP-0313) of users and rooms, page by page (XEP-0059)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Final, NamedTuple
from xml.etree.ElementTree import Element

from amoc.base.errors import ScenarioError
from amoc.xmpp.connection.identity import address
from amoc.xmpp.receiving import Listener
from amoc.xmpp.stanza import Stanza
from amoc.xmpp.wire import forms
from amoc.xmpp.wire import namespaces as ns
from amoc.xmpp.wire.namespaces import MESSAGE
from amoc.xmpp.wire.xml_text import attributes, escape

RESULT: Final = f"{{{ns.MAM}}}result"
PAGE_SIZE: Final = 50
_SET: Final = f"{{{ns.RSM}}}set"

Time = datetime | str
"""A point in time; text must be in the format of XEP-0082: ``2026-01-31T12:00:00Z``."""


class Archived(NamedTuple):
    """A message in an archive."""

    id: str
    """Its id in the archive, for `before` and `after`."""
    stamp: str
    """When it was archived, in the format of XEP-0082."""
    message: Stanza


class Page(NamedTuple):
    """A page of an archive, oldest message first."""

    messages: list[Archived]
    complete: bool
    """Whether there are no more in the direction of the query."""
    total: int | None
    """Number of messages that match the query; None where the server does not say."""
    first: str
    """Id of the first message; empty when the page is empty."""
    last: str
    """Id of the last message."""


class Preferences(NamedTuple):
    """What is archived: ``always``, ``never`` or ``roster``, with exceptions."""

    default: str
    always: tuple[str, ...]
    never: tuple[str, ...]


class Archives(Listener):
    """Calls for message archives."""

    __slots__ = ()

    def archive(
        self,
        with_: str | int | None = None,
        *,
        start: Time | None = None,
        end: Time | None = None,
        first: int | None = None,
        last: int | None = None,
        after: str | None = None,
        before: str | None = None,
        page_size: int = PAGE_SIZE,
        of: str | None = None,
        timeout: float | None = None,
    ) -> Iterator[Page]:
        """Yield the pages of an archive, requesting each on demand; timed as ``archive_page``.

        The messages in it do not count as received messages, and no handler sees them.

        Args:
            with_: Only messages with this JID or user.
            start: Only messages from this time on, inclusive.
            end: Only messages up to this time.
            first: Maximum number of messages, from the oldest on; all without `last`.
            last: Maximum number of messages, from the newest page backwards; messages within a
                page are still oldest first.
            after: Only messages after the one with this id.
            before: Only messages before the one with this id; goes backwards like `last`.
            page_size: Number of messages to request at a time.
            of: JID of the room whose archive to read; None for the user's own archive.
            timeout: For each page, in seconds; None for xmpp_request_timeout.

        Raises:
            IqError, IqTimeout, XmppError, ClosedError: As `request`.
            ScenarioError: The arguments contradict each other.
        """
        if first is not None and (last is not None or before is not None):
            raise ScenarioError("archive() takes either first and after, or last and before")
        filters = {
            "with": None if with_ is None else address(with_),
            "start": _text(start),
            "end": _text(end),
        }
        form = forms.submit(ns.MAM, {name: one for name, one in filters.items() if one is not None})
        back = last is not None or before is not None
        left = last if back else first
        mark = (before or "") if back else after
        while left is None or left > 0:
            most = page_size if left is None else min(page_size, left)
            span = _span(most, mark, back)
            page = self._page(form + span, of, timeout)
            yield page
            new_mark = page.first if back else page.last
            if page.complete or not page.messages or new_mark == mark:
                return
            mark = new_mark
            left = None if left is None else left - len(page.messages)

    def _page(self, inside: str, of: str | None, timeout: float | None) -> Page:
        answer, results = self.collect(
            lambda query_id: f"<query xmlns='{ns.MAM}' queryid='{query_id}'>{inside}</query>",
            RESULT,
            "archive_page",
            to=of,
            timeout=timeout,
        )
        messages = [found for one in results if (found := _archived(one)) is not None]
        fin = answer.xml.find(f"{{{ns.MAM}}}fin")
        span = None if fin is None else fin.find(_SET)
        count = None if span is None else span.findtext(f"{{{ns.RSM}}}count")
        return Page(
            messages=messages,
            complete=fin is None or fin.get("complete") in ("true", "1"),
            total=int(count) if count is not None and count.isdecimal() else None,
            first=messages[0].id if messages else "",
            last=messages[-1].id if messages else "",
        )

    def archive_preferences(self, timeout: float | None = None) -> Preferences:
        """Return what is archived for the user.

        Raises:
            IqError, IqTimeout, XmppError, ClosedError: As `request`.
        """
        answer = self.request(f"<prefs xmlns='{ns.MAM}'/>", timeout, name="archive_preferences")
        prefs = answer.xml.find(f"{{{ns.MAM}}}prefs")
        if prefs is None:
            return Preferences("", (), ())
        return Preferences(prefs.get("default", ""), _jids(prefs, "always"), _jids(prefs, "never"))

    def set_archive_preferences(
        self,
        default: str,
        always: Iterable[str | int] = (),
        never: Iterable[str | int] = (),
        timeout: float | None = None,
    ) -> None:
        """Set what is archived for the user.

        Args:
            default: ``always``, ``never`` or ``roster``.
            always: Users with whom everything is archived.
            never: Users with whom nothing is archived.
            timeout: In seconds; None for xmpp_request_timeout.

        Raises:
            IqError, IqTimeout, XmppError, ClosedError: As `request`.
        """
        lists = ""
        for name, jids in (("always", always), ("never", never)):
            listed = "".join(f"<jid>{escape(address(one))}</jid>" for one in jids)
            lists += f"<{name}>{listed}</{name}>"
        prefs = f"<prefs xmlns='{ns.MAM}'{attributes(default=default)}>{lists}</prefs>"
        self.request(prefs, timeout, type="set", name="archive_set_preferences")


def _text(time: Time | None) -> str | None:
    if isinstance(time, datetime):
        return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return time


def _span(most: int, mark: str | None, back: bool) -> str:
    place = ""
    if mark is not None:
        name = "before" if back else "after"
        place = f"<{name}>{escape(mark)}</{name}>" if mark else f"<{name}/>"
    return f"<set xmlns='{ns.RSM}'><max>{most}</max>{place}</set>"


def _archived(result: Stanza) -> Archived | None:
    payload = result.payload
    forwarded = None if payload is None else payload.find(f"{{{ns.FORWARD}}}forwarded")
    if payload is None or forwarded is None:
        return None
    message = forwarded.find(MESSAGE)
    delay = forwarded.find(f"{{{ns.DELAY}}}delay")
    if message is None:
        return None
    stamp = "" if delay is None else delay.get("stamp", "")
    return Archived(payload.get("id", ""), stamp, Stanza(message, result.received_ns))


def _jids(prefs: Element, name: str) -> tuple[str, ...]:
    return tuple(one.text or "" for one in prefs.iterfind(f"{{{ns.MAM}}}{name}/{{{ns.MAM}}}jid"))
