"""Data forms (XEP-0004), service discovery (XEP-0030) and caps (XEP-0115)."""

from __future__ import annotations

import base64
import hashlib
from xml.etree import ElementTree as ET

import pytest

from amoc.base.errors import ScenarioError
from amoc.xmpp.wire import disco, forms

FORM = "{jabber:x:data}"


def test_a_submitted_form_contains_every_value() -> None:
    fields: dict[str, forms.Value] = {
        "members": True,
        "open": False,
        "size": 5,
        "x#name": "<me> & 'you'",
        "list": ["a", "b"],
        "none": [],
    }
    form = ET.fromstring(forms.submit("urn:type", fields, "x#"))
    assert form.get("type") == "submit"
    assert forms.values(form) == {
        "FORM_TYPE": ["urn:type"],
        "x#members": ["1"],
        "x#open": ["0"],
        "x#size": ["5"],
        "x#name": ["<me> & 'you'"],
        "x#list": ["a", "b"],
        "x#none": [],
    }
    hidden = form.find(f"{FORM}field")
    assert hidden is not None
    assert hidden.get("type") == "hidden"


def test_a_value_not_allowed_in_xml_is_refused() -> None:
    with pytest.raises(ScenarioError, match=r"U\+0000"):
        forms.submit("t", {"a": "\0"})


def test_incomplete_disco_info_is_parsed() -> None:
    query = ET.fromstring(
        "<query xmlns='http://jabber.org/protocol/disco#info'><identity/><identity category='c'"
        " type='t' name='n'/><feature/><feature var='f'/><feature var='f'/><other/>"
        "<x xmlns='jabber:x:data'><field/><field var='v'><value/></field></x></query>"
    )
    found = disco.info(query)
    assert found.identities == (("", "", ""), ("c", "t", "n"))
    assert found.features == {"", "f"}
    assert found.forms == ({"": [], "v": [""]},)


def test_caps_are_the_digest_of_the_disco_answer() -> None:
    features = ("urn:b", "urn:a", "urn:b")
    answer = ET.fromstring(disco.answer(features, "node&"))
    assert answer.get("node") == "node&"
    info = disco.info(answer)
    ((category, kind, name),) = info.identities
    text = f"{category}/{kind}//{name}<" + "".join(f"{one}<" for one in sorted(info.features))
    digest = base64.b64encode(hashlib.sha1(text.encode()).digest()).decode()
    caps = ET.fromstring(disco.caps(features))
    assert caps.get("ver") == digest
    assert disco.caps(("urn:a", "urn:b")) == disco.caps(features)
