"""Pure. Paging of results (XEP-0059)."""

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
    """One page of results.

    Attributes:
        items: The results.
        ids: Their ids.
        index: Number of results before them.
        count: Number of results in total.
        complete: Whether there are no more in the direction of paging.
    """

    items: list[T]
    ids: list[str]
    index: int
    count: int
    complete: bool


class Paging(NamedTuple):
    """A request for a page."""

    most: int
    after: str | None = None
    before: str | None = None
    """Empty for the last page."""

    @classmethod
    def of(cls, parent: Element, most: int) -> Paging:
        """Parse a request for a page of at most `most` results.

        Raises:
            StanzaFailure: The maximum is not a number.
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
        """Return the requested page of `results`.

        Raises:
            StanzaFailure: There is no result with the id at which the page should begin or end.
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
    """Return a page's position as markup; empty if the request `asked` for no page."""
    if asked is not None and asked.find(SET) is None:
        return ""
    ends = ""
    if page.ids:
        ends = (
            f"<first index='{page.index}'>{escape(page.ids[0])}</first>"
            f"<last>{escape(page.ids[-1])}</last>"
        )
    return f"<set xmlns='{ns.RSM}'>{ends}<count>{page.count}</count></set>"
