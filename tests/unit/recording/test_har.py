"""Parsing of HAR files, and the errors about broken ones."""

from __future__ import annotations

import base64
import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amoc.base.errors import UsageError
from amoc.recording import from_har, har
from amoc.recording.exchange import File, FormBody, JsonBody, RawBody
from tests.unit.recording.archive import archive, entry


def only(content: bytes) -> Any:
    (found,) = har.parse(content, "x.har").exchanges
    return found


FAULTS = {
    b"": "x.har must be a HAR file, but is not valid JSON",
    b"PK\x03\x04rest": "but is a ZIP archive; unpack it first",
    b"\x1f\x8b": "compressed with gzip",
    b"\xff\xfe\xfa": "not valid JSON",
    b"[]": "the document must be an object, got []",
    b"{}": "the document has no log",
    b'{"log": 3}': "log must be an object, got 3",
    b'{"log": {}}': "log has no entries",
    b'{"log": {"entries": [3]}}': "entry 1 must be an object, got 3",
    b'{"log": {"entries": [{}]}}': "entry 1 has no request",
    b"[" * 100_000: "nests too deeply",
    b'{"log": {"entries": [], "pages": [{}]}}': "page 1 has no id",
}


@pytest.mark.parametrize(("content", "fault"), FAULTS.items(), ids=range(len(FAULTS)))
def test_a_broken_file_is_a_one_line_error(content: bytes, fault: str) -> None:
    with pytest.raises(UsageError) as raised:
        har.parse(content, "x.har")
    assert fault in str(raised.value)
    assert "\n" not in str(raised.value)


def changed(**fields: Any) -> bytes:
    one = entry("POST", "/x", json_body={})
    for path, value in fields.items():
        *way, last = path.split("__")
        holder: Any = one
        for key in way:
            holder = holder[key]
        holder[last] = value
    return archive(one)


ENTRY_FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"request__url": 3}, "entry 1: request: url must be text, got 3"),
    ({"request__method": "G E T"}, "request.method must be an HTTP method, got 'G E T'"),
    ({"request__headers": {}}, "request: headers must be a list, got {}"),
    ({"request__headers": [1]}, "request.headers must be an object, got 1"),
    ({"request__headers": [{"name": 1}]}, "request.headers: name must be text, got 1"),
    ({"startedDateTime": "yesterday"}, "startedDateTime must be an ISO 8601 time"),
    ({"time": "long"}, "entry 1: time must be a number, got 'long'"),
    ({"time": float("nan")}, "entry 1: time must be a number, got nan"),
    ({"response__status": True}, "response: status must be a number, got True"),
    ({"response__status": float("inf")}, "response: status must be a number, got inf"),
    ({"response__content__encoding": "base64", "response__content__text": "?"}, "must be base64"),
    ({"request__postData__encoding": "base64", "request__postData__text": "?"}, "must be base64"),
]


@pytest.mark.parametrize(("fields", "fault"), ENTRY_FAULTS)
def test_an_error_names_the_wrong_value_and_its_place(fields: dict[str, Any], fault: str) -> None:
    with pytest.raises(UsageError) as raised:
        har.parse(changed(**fields), "x.har")
    assert fault in str(raised.value)


def test_pseudo_headers_and_invalid_headers_are_left_out() -> None:
    headers = {":authority": "shop.test", "X-One": "1", "bad name": "x", "X-Two": "a\x00b"}
    assert only(archive(entry("GET", "/", headers=headers))).headers == [("x-one", "1")]


def test_base64_bodies_are_decoded() -> None:
    text = base64.b64encode(b'{"id": 5}').decode()
    one = only(changed(response__content__encoding="base64", response__content__text=text))
    assert one.answer.text == '{"id": 5}'
    one = only(changed(request__postData__encoding="base64", request__postData__text=text))
    assert one.body == JsonBody({"id": 5})


def test_repeated_headers_are_split() -> None:
    one = only(archive(entry("GET", "/", answer_headers={"Set-Cookie": "a=1\nb=2"})))
    assert one.answer.headers == [("set-cookie", "a=1"), ("set-cookie", "b=2")]


def body(mime: str, text: str = "", params: list[dict[str, str]] | None = None) -> Any:
    post = {"mimeType": mime, "text": text, "params": params or []}
    return only(archive(entry("POST", "/x", post=post))).body


def test_forms_are_read_from_text_or_parameters() -> None:
    form = "application/x-www-form-urlencoded"
    wanted = FormBody([("a", "1 2"), ("b", "")], [], False)
    assert body(form, "a=1+2&b=") == wanted
    assert body(form, "", [{"name": "a", "value": "1 2"}, {"name": "b", "value": ""}]) == wanted


def test_multipart_forms_include_their_files() -> None:
    text = (
        '--x\r\nContent-Disposition: form-data; name="title"\r\n\r\na cat\r\n'
        '--x\r\nContent-Disposition: form-data; name="f"; filename="c.txt"\r\n'
        "Content-Type: text/plain\r\n\r\nmeow\r\n"
        '--x\r\nContent-Disposition: form-data; name="g"; filename="c.png"\r\n'
        "Content-Type: image/png\r\n\r\n\ufffdPNG\r\n--x--\r\n"
    )
    files = [("f", File("c.txt", b"meow", "text/plain")), ("g", File("c.png", None, "image/png"))]
    wanted = FormBody([("title", "a cat")], files, True)
    assert body('multipart/form-data; boundary="x"', text) == wanted


@pytest.mark.parametrize("text", ["{", "NaN", "1e999", "[" * 50 + "]" * 50, "[" * 100_000])
def test_json_without_a_python_literal_is_sent_as_text(text: str) -> None:
    assert body("application/json", text) == RawBody(text.encode(), "application/json")


VALID = archive(
    entry(
        "GET", "/", kind="text/html", answer='<input type=hidden name=csrf value="0123456789ab">'
    ),
    entry("POST", "/in", 2, form="csrf=0123456789ab&name=ann&password=pw", page="p"),
    entry("POST", "/orders", 3, status=201, json_body={"a": [1, "b"]}, answer={"id": 17}),
    entry("GET", "/orders/17?x=1&x=2", 5, headers={"Authorization": "Bearer abc"}),
    entry("POST", "/raw", 6, post={"mimeType": "text/xml", "text": "<password>pw</password>"}),
    pages={"p": "A page"},
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3)
    ),
    max_leaves=5,
)


def places(value: Any, way: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        return [way, *(found for key, one in items for found in places(one, (*way, key)))]
    return [way]


@given(st.data())
def test_any_document_yields_a_scenario_or_a_one_line_error(data: Any) -> None:
    document = copy.deepcopy(json.loads(VALID))
    for _ in range(data.draw(st.integers(1, 3))):
        way = data.draw(st.sampled_from([one for one in places(document) if one]))
        holder = document
        for key in way[:-1]:
            holder = holder[key]
        holder[way[-1]] = data.draw(JSON)
    try:
        written = from_har.convert(json.dumps(document).encode(), "x.har", "shop")
    except UsageError as fault:
        said = str(fault)
    else:
        compile(written.files["shop.py"], "shop.py", "exec")
        said = ""
    assert "\n" not in said
