from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amoc.xmpp.wire.framing import tree as element
from amoc.xmpp.wire.namespaces import LANG
from amoc.xmpp.wire.xml_text import escape, serialise
from amoc.xmppd.rewrite import stamp, stamped
from tests.unit.xmpp.wire.lab import same

pytestmark = pytest.mark.once

ODD = (
    b"<s:stream xmlns='urn:odd' xmlns:c='jabber:client' xmlns:s='http://etherx.jabber.org/streams'>"
)
TEXTS = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\ufffe\uffff").filter(
        lambda char: ord(char) >= 32 or char in "\t\n\r"
    ),
    max_size=8,
)
NAMES = st.sampled_from(["a", "b", "c:a", "c:b"])
NAMESPACES = st.sampled_from(["", " xmlns='urn:1'", " xmlns:c='urn:2'", " xmlns=''"])


@st.composite
def nodes(draw: st.DrawFn, depth: int = 0) -> str:
    name = draw(NAMES)
    attrs = draw(st.dictionaries(st.sampled_from(["x", "c:x", "xml:lang"]), TEXTS, max_size=3))
    head = f"<{name}{draw(NAMESPACES)}" + "".join(f" {k}='{escape(v)}'" for k, v in attrs.items())
    inside = "".join(
        draw(st.lists(nodes(depth + 1) | TEXTS.map(escape), max_size=3 if depth < 3 else 0))
    )
    return f"{head}>{inside}</{name}>"


@given(nodes())
def test_a_stanza_from_a_stream_with_other_namespaces_keeps_its_meaning(inside: str) -> None:
    raw = f"<c:message id='1'>{inside}</c:message>".encode()
    written = serialise(element(ODD, raw), inherit=False).encode()
    assert same(element(ODD, raw), element(None, written))


@given(nodes())
def test_inserting_and_rewriting_give_the_same_stanza(inside: str) -> None:
    raw = f"<message xmlns:c='urn:3' id='1'>{inside}</message>".encode()
    changes = {"from": "o'\"<&>@x/\t", "to": "b"}
    inserted = stamped(
        "message", {"id": "1"}, raw, root=None, stamp=stamp(changes), changes=changes
    )
    rewritten = stamped(
        "message", {"id": "1", "to": "?"}, raw, root=None, stamp=stamp(changes), changes=changes
    )
    assert raw[8:] in inserted, "the client's bytes go on as they are"
    assert same(element(None, inserted), element(None, rewritten))
    assert element(None, inserted).get("from") == changes["from"]


@pytest.mark.parametrize(
    "raw",
    [
        b"<message><body>a</body></message>",
        b"<message\n><body>a</body></message>",
        b"<message/>",
        b"<c:message xmlns:c='jabber:client'><c:body>a</c:body></c:message>",
        b"<message:message xmlns:message='jabber:client'/>",
        b"<message xmlns='jabber:client' from='me'><body>a</body></message>",
        b'<message from="me>\'"/>',
    ],
)
def test_the_address_is_inserted_into_stanzas_of_any_form(raw: bytes) -> None:
    attrs = {"from": "me"} if b"from" in raw else {}
    changes = {"from": "a@b/c", LANG: "de"}
    result = stamped("message", attrs, raw, root=None, stamp=stamp(changes), changes=changes)
    tree = element(None, result)
    assert tree.tag == "{jabber:client}message"
    assert tree.get("from") == "a@b/c"
    assert tree.get("{http://www.w3.org/XML/1998/namespace}lang") == "de"
    assert [child.tag for child in tree] == [child.tag for child in element(None, raw)]


@given(TEXTS)
def test_escaped_text_cannot_end_an_attribute_or_open_a_tag(text: str) -> None:
    for quote in "'\"":
        tree = ET.fromstring(f"<a b={quote}{escape(text)}{quote}>{escape(text)}</a>")
        assert tree.get("b") == text
        assert (tree.text or "") == text
        assert len(tree) == 0
