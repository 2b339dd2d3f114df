"""Pure. Results page by page (XEP-0059)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, NamedTuple, TypeVar
from xml.etree.ElementTree import Element

from amoc.xmpp.wire import namespaces as ns
from amoc.xmpp.wire.xml_text import escape
from amoc.xmppd.answers import StanzaFailure, refuse_if

SET: Final = f"{{{ns.RSM}}}set"
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some of many results.

    Attributes:
        items: The results.
        ids: What each is called.
        index: How many precede them.
        count: How many there are in all.
        complete: Whether none follows in the direction of paging.
    """

    items: list[T]
    ids: list[str]
    index: int
    count: int
    complete: bool


class Paging(NamedTuple):
    """Which page is wanted."""

    most: int
    after: str | None = None
    before: str | None = None
    """Empty: the last page."""

    @classmethod
    def of(cls, parent: Element, most: int) -> Paging:
        """What a request wants, and `most` at most.

        Raises:
            StanzaFailure: The number of results is none.
        """
        asked = parent.find(SET)
        if asked is None:
            return cls(most)
        text = asked.findtext(f"{{{ns.RSM}}}max")
        refuse_if(text is not None and not (text.isascii() and text.isdigit()), "bad-request")
        wanted = most if text is None else min(int(text[:9]), most)
        before = asked.find(f"{{{ns.RSM}}}before")
        return cls(
            wanted,
            asked.findtext(f"{{{ns.RSM}}}after"),
            None if before is None else before.text or "",
        )

    def cut(self, results: Sequence[T], id_of: Callable[[T], str]) -> Page[T]:
        """The wanted page of `results`.

        Raises:
            StanzaFailure: There is no result of the name that the page is to begin or end at.
        """
        first, last = 0, len(results)
        try:
            if self.after:
                first = [id_of(result) for result in results].index(self.after) + 1
            if self.before:
                last = [id_of(result) for result in results].index(self.before)
        except ValueError:
            raise StanzaFailure("item-not-found") from None
        if self.before is not None:
            begin, end = max(first, last - self.most), last
            complete = begin == first
        else:
            begin, end = first, min(last, first + self.most)
            complete = end == last
        items = list(results[begin:end])
        return Page(items, [id_of(item) for item in items], begin, len(results), complete)


def rsm(page: Page[T], asked: Element | None = None) -> str:
    """Where a page lies, as markup; empty if the request `asked` for no page."""
    if asked is not None and asked.find(SET) is None:
        return ""
    ends = ""
    if page.ids:
        ends = (
            f"<first index='{page.index}'>{escape(page.ids[0])}</first>"
            f"<last>{escape(page.ids[-1])}</last>"
        )
    return f"<set xmlns='{ns.RSM}'>{ends}<count>{page.count}</count></set>"
