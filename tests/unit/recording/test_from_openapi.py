"""Conversion of an OpenAPI description to a scenario."""

from __future__ import annotations

import ast
import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amoc.base.errors import UsageError
from amoc.recording import from_openapi, openapi
from amoc.recording.openapi_examples import Examples
from tests.unit.recording.test_har import JSON, places

SHOP = Path(__file__).with_name("shop.yaml")


def document(**fields: Any) -> dict[str, Any]:
    return {"openapi": "3.0.3", "info": {"title": "API", "version": "1"}, "paths": {}, **fields}


def converted(one: object) -> str:
    written = from_openapi.convert(json.dumps(one).encode(), "api.json", "api")
    return written.files["api.py"].decode()


def of_operation(method: str = "get", path: str = "/x", **operation: Any) -> str:
    return converted(document(paths={path: {method: operation}}))


def test_each_operation_becomes_a_function_and_reads_are_more_frequent() -> None:
    pytest.importorskip("yaml")
    written = from_openapi.convert(SHOP.read_bytes(), "shop.yaml", "shop")
    text = written.files["shop.py"].decode()
    assert text.startswith('"""The shop 1.0: 5 operations, from shop.yaml.\n')
    assert 'base = setting("http://shop.test:8080", "Base address of the API")' in text
    assert "http.session(base.get(), auth=http.bearer(token.get()))" in text
    assert 'def fetch_token(client):\n    """Fetch a token."""\n' in text
    assert 'form={"client": "ann", "secret": secret.get()}' in text
    assert "# user-id has no example" not in text  # any number will do
    assert 'client.delete("/online/{user_id}", path={"user_id": 1})' in text
    assert 'json={"jid": "user@example.com", "since": "2026-01-31"}' in text
    assert 'params={"of": "7"}, headers={"X-Trace": "5"}' in text
    assert '"/pictures",\n        files={"file": ("file.bin", bytes(1000))},' in text
    assert "answer.check(status=(201, 202))" in text
    assert "    peer: 10,\n    post_pictures: 1,\n" in text
    assert any("AMOC_SECRET" in one for one in written.notes)


@pytest.mark.parametrize(
    ("scheme", "code"),
    [
        ({"type": "http", "scheme": "basic"}, "auth=(username.get(), password.get())"),
        ({"type": "http", "scheme": "bearer"}, "auth=http.bearer(main_token.get())"),
        ({"type": "oauth2", "flows": {}}, "auth=http.bearer(main_token.get())"),
        ({"type": "apiKey", "in": "header", "name": "X-Key"}, 'headers={"X-Key": main.get()}'),
        ({"type": "apiKey", "in": "cookie", "name": "sid"}, 'cookies={"sid": main.get()}'),
        ({"type": "apiKey", "in": "query", "name": "key"}, 'params={"key": main.get()}'),
    ],
)
def test_credentials_are_settings(scheme: dict[str, Any], code: str) -> None:
    text = converted(
        document(
            paths={"/x": {"get": {}}},
            security=[{"main": []}],
            components={"securitySchemes": {"main": scheme}},
        )
    )
    assert code in text
    assert "return Error(" in text


SCHEMAS: list[tuple[Any, Any]] = [
    ({"type": "string", "example": "a"}, "a"),
    ({"examples": [3]}, 3),
    ({"enum": ["b", "c"]}, "b"),
    ({"const": None}, None),
    ({"type": ["null", "integer"]}, 1),
    ({"type": "integer", "minimum": 3, "multipleOf": 5}, 5),
    ({"type": "number", "multipleOf": 1e-320}, 1),
    ({"type": "integer", "minimum": 10**400}, 1),
    ({"type": "string", "minLength": 10**400}, "example"),
    ({"type": "integer", "exclusiveMinimum": 3}, 4),
    ({"type": "integer", "minimum": 3, "exclusiveMinimum": True}, 4),
    ({"type": "number", "maximum": -2}, -2),
    ({"type": "boolean"}, True),
    ({"type": "string", "minLength": 10}, "example example"),
    ({"type": "string", "maxLength": 3}, "exa"),
    ({"type": "array", "items": {"type": "integer"}, "minItems": 2}, [1, 1]),
    ({"oneOf": [{"type": "null"}, {"type": "boolean"}]}, True),
    ({"allOf": [{"properties": {"a": {"const": 1}}}], "properties": {"b": {"const": 2}}},
     {"a": 1, "b": 2}),
    ({"properties": {"a": {"const": 1, "readOnly": True}, "b": {"const": 2}}}, {"b": 2}),
    ({"properties": {"a": {"const": 1}, "b": {"const": 2}}, "required": ["b"]}, {"b": 2}),
    (True, {}),
]  # fmt: skip


@pytest.mark.parametrize(("schema", "example"), SCHEMAS)
def test_examples_are_the_smallest_that_fit_the_schema(schema: Any, example: Any) -> None:
    found = Examples(openapi.Document(document(), "x")).of_holder({"schema": schema}, "x")
    assert found == example


def test_a_recursive_schema_terminates() -> None:
    tree = {
        "properties": {
            "one": {"$ref": "#/components/schemas/T"},
            "two": {"$ref": "#/components/schemas/T"},
        }
    }
    text = converted(
        document(
            paths={"/x": {"post": {"requestBody": {"content": {"application/json": {
                "schema": {"$ref": "#/components/schemas/T"}}}}}}},
            components={"schemas": {"T": tree}},
        )
    )  # fmt: skip
    assert 40 < text.count('"one"') < 1000


FAULTS: list[tuple[object, str]] = [
    ({"swagger": "2.0"}, "must be OpenAPI 3.0 or 3.1, but is Swagger '2.0'"),
    ({"openapi": "4.0"}, "must say openapi: 3.0 or 3.1, got '4.0'"),
    ({}, "must say openapi: 3.0 or 3.1, got None"),
    ([], "the document must be an object, got []"),
    (document(), "has no operations, or only deprecated ones"),
    (document(paths=[1]), "paths must be an object, got [1]"),
    (document(paths={"/x": {"get": 3}}), "GET /x must be an object, got 3"),
    (document(paths={"/x": {"$ref": "x.yaml"}}), "refers to 'x.yaml'; amoc reads only one file"),
    (document(paths={"/x": {"$ref": "#/y"}}), "refers to #/y, which does not exist"),
    (document(paths={"/x": {"$ref": "#/paths/~1x"}}), "path /x refers to itself"),
]


@pytest.mark.parametrize(("one", "fault"), FAULTS)
def test_an_invalid_document_is_a_one_line_error(one: object, fault: str) -> None:
    with pytest.raises(UsageError) as raised:
        converted(one)
    assert fault in str(raised.value)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"{", "is not valid JSON"),
        (b"a: [", "is neither JSON nor valid YAML"),
        (b"a: !!python/object:os.system {}", "is neither JSON nor valid YAML"),
        (b"[" * 100_000, "nests too deeply"),
        (b"\xff\xfe\x00", "is neither JSON nor valid YAML"),
    ],
)
def test_an_unreadable_file_is_a_one_line_error(content: bytes, fault: str) -> None:
    pytest.importorskip("yaml")
    with pytest.raises(UsageError) as raised:
        openapi.parse(content, "api.yaml")
    assert fault in str(raised.value)
    assert "\n" not in str(raised.value)


def test_expansion_of_yaml_aliases_is_bounded() -> None:
    pytest.importorskip("yaml")
    lines = ["openapi: 3.0.0", "a0: &a0 {example: x}"]
    lines += [f"a{n}: &a{n} {{properties: {{l: *a{n - 1}, r: *a{n - 1}}}}}" for n in range(1, 40)]
    lines.append(
        "paths: {/x: {post: {requestBody: {content: {application/json: {schema: *a39}}}}}}"
    )
    written = from_openapi.convert("\n".join(lines).encode(), "api.yaml", "api")
    assert len(written.files["api.py"]) < 200_000


@pytest.mark.parametrize("end", ["\n", "\r", "\0", "\x0c", "\u2028"])
def test_no_name_can_break_out_of_a_comment(end: str) -> None:
    mine = f"{end}raise SystemExit{end}"
    texts = (
        of_operation(path=f"/a/{{b{mine}}}"),
        of_operation(method="put", requestBody={"content": {f"text/x{mine}": {}}}),
        of_operation(summary=f"Reads.{mine}"),
        of_operation(
            path=f"/a/{{b{mine}}}", parameters=[{"name": f"b{mine}", "in": "path", "schema": {}}]
        ),
    )
    for text in texts:
        assert not any(isinstance(one, ast.Raise) for one in ast.walk(ast.parse(text))), text


EVERYTHING = document(
    security=[{"t": []}],
    paths={
        "/a/{b-c}/{d}": {
            "parameters": [{"name": "b-c", "in": "path", "schema": {"type": "string"}}],
            "get": {"operationId": "class", "summary": 'a "b" \\', "responses": {"200": {}}},
            "post": {
                "requestBody": {"content": {"application/json": {"schema": {
                    "required": ["password"], "properties": {"password": {"type": "string"}}}}}},
                "responses": {"201": {}, "default": {}},
            },
        },
        "/f": {"put": {"requestBody": {"content": {"multipart/form-data": {"schema": {
            "properties": {"x": {"format": "binary"}, "y": {"type": "array"}}}}}}}},
        "/r": {"patch": {"requestBody": {"content": {"text/csv": {"example": "a,b"}}}}},
    },
    components={"securitySchemes": {"t": {"type": "http", "scheme": "basic"}}},
)  # fmt: skip


@given(st.data())
def test_any_document_yields_a_scenario_or_a_one_line_error(data: Any) -> None:
    changed = copy.deepcopy(EVERYTHING)
    for _ in range(data.draw(st.integers(1, 3))):
        way = data.draw(st.sampled_from([one for one in places(changed) if one]))
        holder: Any = changed
        for key in way[:-1]:
            holder = holder[key]
        holder[way[-1]] = data.draw(JSON)
    try:
        text = converted(changed)
    except UsageError as fault:
        said = str(fault)
    else:
        compile(text, "api.py", "exec")
        said = ""
    assert "\n" not in said


def test_the_output_passes_formatters_and_linters(tmp_path: Path) -> None:
    (tmp_path / "api.py").write_text(converted(EVERYTHING))
    rules = ["--select=B,C4,E,F,I,N,PIE,PLC,PLE,RET5,SIM,UP,W", "--ignore=E501,RET503"]
    for command in (["format", "--diff"], ["check", *rules]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command[:1], "--isolated", *command[1:], str(tmp_path)],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stdout + done.stderr
