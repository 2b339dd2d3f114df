"""XML written by a client: it is read back unchanged at the other end, or refused."""

from __future__ import annotations

import string
from xml.etree.ElementTree import Element, SubElement

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amoc.base.errors import ScenarioError
from amoc.xmpp.stanza import parse
from amoc.xmpp.wire.xml_text import escape, serialise
from tests.unit.xmpp.wire.lab import same

pytestmark = pytest.mark.once

NAMES = st.text(alphabet=string.ascii_lowercase, min_size=1, max_size=8)
NAMESPACES = st.sampled_from(
    ["jabber:client", "urn:a", "urn:b'<&>", "http://www.w3.org/1999/xhtml"]
)
TEXTS = st.text(
    alphabet=st.characters(
        exclude_categories=["Cs", "Cc"],
        include_characters="\t\n\r",
        exclude_characters="\ufffe\uffff",
    ),
    max_size=30,
)


@st.composite
def elements(draw: st.DrawFn, depth: int = 3) -> Element:
    element = Element(f"{{{draw(NAMESPACES)}}}{draw(NAMES)}")
    element.text = draw(TEXTS) or None
    for name, value in draw(st.dictionaries(NAMES, TEXTS, max_size=3)).items():
        if not name.startswith("xml"):
            element.set(name, value)
    if draw(st.booleans()):
        element.set("{urn:attributes}x", draw(TEXTS))
    if draw(st.booleans()):
        element.set("{http://www.w3.org/XML/1998/namespace}lang", "de")
    if depth:
        for child in draw(st.lists(elements(depth=depth - 1), max_size=3)):
            child.tail = draw(TEXTS) or None
            element.append(child)
    return element


@pytest.mark.slow
@given(elements())
def test_serialised_elements_parse_to_the_same(element: Element) -> None:
    assert same(parse(serialise(element)), element)


@given(TEXTS)
def test_escaped_text_survives_as_text_and_as_attribute(text: str) -> None:
    element = parse(f"<a b='{escape(text)}' c=\"{escape(text)}\">{escape(text)}</a>")
    assert (element.text or "") == element.get("b") == element.get("c") == text


@given(st.text(max_size=30))
def test_any_text_is_escaped_or_refused(text: str) -> None:
    try:
        escaped = escape(text)
    except ScenarioError:
        return
    assert (parse(f"<a>{escaped}</a>").text or "") == text


@pytest.mark.parametrize(
    "code", [0x0, 0x8, 0xB, 0x1F, 0xD800, 0xDFFF, 0xFFFE, 0xFFFF], ids=lambda code: f"U+{code:04X}"
)
def test_a_character_not_allowed_in_xml_is_refused_and_named(code: int) -> None:
    char = chr(code)
    with pytest.raises(ScenarioError, match=rf"U\+{code:04X} at 2"):
        escape("ab" + char)
    broken = Element("{jabber:client}message")
    SubElement(broken, "{jabber:client}body").text = char
    with pytest.raises(ScenarioError):
        serialise(broken)


@pytest.mark.parametrize(
    "text", ["", "x", "<a>", "<a/><b/>", "<a></b>", "<!-- --><a/>", "<a>&b;</a>"]
)
def test_raw_xml_that_is_not_one_element_is_refused(text: str) -> None:
    with pytest.raises(ScenarioError, match="raw XML must"):
        parse(text)


def test_a_tag_without_a_namespace_belongs_to_the_stream() -> None:
    assert serialise(Element("presence")) == "<presence/>"
    assert serialise(Element("{jabber:client}presence")) == "<presence/>"
    assert serialise(Element("{urn:x}presence")) == "<presence xmlns='urn:x'/>"
