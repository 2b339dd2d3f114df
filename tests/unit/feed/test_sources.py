"""Rows from files and scenarios: their values, and the errors of invalid ones."""

from __future__ import annotations

import csv
import io
import json
import os
import random
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amoc.base.errors import ScenarioError
from amoc.feed.sources import CsvRows, GivenRows, JsonRows


def csv_rows(path, data, encoding="utf-8", delimiter=","):
    file = path / "rows.csv"
    file.write_bytes(data if isinstance(data, bytes) else data.encode())
    return CsvRows(file, "rows.csv", encoding, delimiter)


def everything(rows):
    return rows.read(0, len(rows))


def test_rows_are_dictionaries_keyed_by_the_header(tmp_path):
    rows = csv_rows(tmp_path, "name,age\nanna,30\nbob,\n")
    assert everything(rows) == [{"name": "anna", "age": "30"}, {"name": "bob", "age": ""}]
    assert len(rows) == 2
    assert rows.row(1) == {"name": "bob", "age": ""}


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        ("name\nJosé\n".encode("latin-1"), "latin-1"),
        ("name\nJosé\n".encode("utf-16"), "utf-16"),
        ("name\nJosé\n".encode("utf-8-sig"), "utf-8"),
        ("name\r\nJosé".encode(), "UTF-8"),
        ("\n\nname\n\n\nJosé\n\n".encode(), "utf-8"),
    ],
)
def test_encodings_line_ends_and_empty_lines(tmp_path, data, encoding):
    rows = csv_rows(tmp_path, data, encoding)
    assert everything(rows) == [{"name": "José"}]
    assert rows.row(0) == {"name": "José"}


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
# Unquoted text must not contain a line end.
QUOTED = st.tuples(st.just(csv.QUOTE_ALL), st.lists(st.tuples(TEXTS, TEXTS), min_size=1))
PLAIN_TEXTS = TEXTS.map(lambda text: text.replace("\r", ""))
PLAIN = st.tuples(
    st.just(csv.QUOTE_MINIMAL), st.lists(st.tuples(PLAIN_TEXTS, PLAIN_TEXTS), min_size=1)
)


@given(
    QUOTED | PLAIN,
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from([",", ";", "\t"]),
    st.randoms(use_true_random=False),
)
def test_the_output_of_any_csv_writer_is_read_in_any_order(tmp_path_factory, what, end, by, rng):
    (quoting, pairs), text = what, io.StringIO()
    writer = csv.writer(text, lineterminator=end, delimiter=by, quoting=quoting)
    writer.writerows([("a", "b"), *pairs])
    rows = csv_rows(tmp_path_factory.getbasetemp(), text.getvalue(), delimiter=by)
    expected = [{"a": a, "b": b} for a, b in pairs]
    assert everything(rows) == expected
    for first in rng.sample(range(len(pairs)), len(pairs)):
        number = rng.randint(1, len(pairs) - first)
        assert rows.read(first, number) == expected[first : first + number]
        assert rows.row(first) == expected[first]


class ReadOneByOne(CsvRows):
    """Rows of a file that is never treated as regular."""

    def _index_regular(self) -> bool:
        return False


@given(st.text(st.sampled_from('ab;,\n\n\r"é '), max_size=30), st.sampled_from([",", ";"]))
def test_a_regular_file_reads_the_same_as_line_by_line(tmp_path_factory, text, by):
    path = tmp_path_factory.getbasetemp() / "rows.csv"
    for data in (text, "a;b\n" + text, text.replace("\r", "\r\n").replace('"', "")):
        path.write_bytes(data.encode())
        outcomes = []
        for kind in (CsvRows, ReadOneByOne):
            try:
                outcomes.append(everything(kind(path, "rows.csv", "utf-8", by)))
            except ScenarioError as error:
                outcomes.append(str(error))
        assert outcomes[0] == outcomes[1]


def test_a_field_that_is_too_long_is_refused_even_in_a_regular_file(tmp_path):
    limit = csv.field_size_limit()
    with pytest.raises(ScenarioError, match="line 2: field larger than field limit"):
        csv_rows(tmp_path, "name\n" + "x" * (limit + 1) + "\n")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("", "rows.csv must begin with a header, got an empty file"),
        ("\n\n", "rows.csv must begin with a header, got an empty file"),
        ("name,age\n", "rows.csv must have at least one row below its header, got none"),
        ("name,age\na,1\nb\n", "rows.csv, line 3: a row must have 2 fields like the header, got 1"),
        ("name\na,1\n", "rows.csv, line 2: a row must have 1 field like the header, got 2"),
        ('a,b\n"x\ny",1\n\nz\n', "rows.csv, line 5: a row must have 2 fields"),
        ("a,b,a\n1,2,3\n", "rows.csv, line 1: names in the header must differ, got 'a' 2 times"),
        ("a,,b\n1,2,3\n", "rows.csv, line 1: each field of the header must have a name, got"),
        (
            b"name\nok\nJos\xe9\n",
            "rows.csv, line 3: must be text in UTF-8, got the byte 0xe9; .*latin-1",
        ),
        ('a\n"open\n', "rows.csv, line 2: unexpected end of data"),
        ('a\n"x"y\n', "rows.csv, line 2: ',' expected after '\"'"),
        ("a\rb\r", "rows.csv, line 1: new-line character seen in unquoted field"),
    ],
)
def test_an_invalid_csv_file_is_refused_with_its_line(tmp_path, data, message):
    with pytest.raises(ScenarioError, match=message):
        csv_rows(tmp_path, data)


def test_files_that_cannot_be_read_are_named(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    something_else = "must be a file, got something else"
    for name, problem in (
        ("gone.csv", "does not exist"),
        (".", something_else),
        ("pipe", something_else),
        ("x" * 300, "cannot be read: File name too long"),
    ):
        with pytest.raises(ScenarioError, match=rf"^it {problem} \(.*{tmp_path}"):
            CsvRows(tmp_path / name, "it", "utf-8", ",")
    with pytest.raises(ScenarioError, match="must be one that Python knows, got 'klingon'"):
        csv_rows(tmp_path, "a\n1\n", "klingon")
    with pytest.raises(ScenarioError, match="must be text in ascii, but"):
        csv_rows(tmp_path, b"a\n\xff\n", "ascii")


def json_rows(path, text):
    file = path / "rows.jsonl"
    file.write_text(text)
    return JsonRows(file, "rows.jsonl", "utf-8")


def test_json_lines_are_read_as_objects(tmp_path):
    objects = [{"n": 1, "tags": ["a", "b"]}, {"n": None}, {"é": {"x": 1.5}}]
    rows = json_rows(tmp_path, "\n" + "\n\n".join(map(json.dumps, objects)) + "\n \n")
    assert everything(rows) == objects
    assert [rows.read(at, 1)[0] for at in (2, 0, 1)] == [objects[2], objects[0], objects[1]]
    rows.read(0, 1)[0]["tags"].append("c")
    assert rows.read(0, 1) == [objects[0]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "rows.jsonl must have at least one row, got none"),
        (
            '{"n": 1}\n{"n": }\n',
            "rows.jsonl, line 2: a row must be a JSON object, but Expecting value",
        ),
        (
            '{"n": 1}\n\n[1, 2]\n',
            r"rows.jsonl, line 3: a row must be a JSON object, got '\[1, 2\]'",
        ),
    ],
)
def test_invalid_json_lines_are_refused_with_their_line(tmp_path, text, message):
    with pytest.raises(ScenarioError, match=message):
        json_rows(tmp_path, text)


def test_a_file_may_be_removed_once_it_is_read(tmp_path):
    rows = csv_rows(tmp_path, "a\n1\n2\n")
    (tmp_path / "rows.csv").unlink()
    assert everything(rows) == [{"a": "1"}, {"a": "2"}]


def test_a_scenario_may_give_any_iterable_and_sequences_are_not_copied():
    assert everything(GivenRows(({"n": n} for n in range(3)), "it")) == [{"n": n} for n in range(3)]
    assert GivenRows(range(10**12), "it").read(10**11, 2) == [10**11, 10**11 + 1]
    given = [{"n": 1}, "text"]
    row, text = everything(GivenRows(given, "it"))
    row["n"] = 2
    assert (given, text) == ([{"n": 1}, "text"], "text")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "feed it must be given at least one row, got none"),
        (iter(()), "feed it must be given at least one row, got none"),
        ("rows.csv", "feed it must be given rows, got 'rows.csv'"),
        (7, "feed it must be given rows, got 7"),
        ({"name": "anna"}, "feed it must be given rows, got {'name': 'anna'}"),
    ],
)
def test_invalid_rows_are_refused(rows, message):
    with pytest.raises(ScenarioError, match=message):
        GivenRows(rows, "it")


def test_an_endless_iterable_is_refused(monkeypatch):
    monkeypatch.setattr("amoc.feed.sources.MAX_ITERABLE", 1_000)
    with pytest.raises(ScenarioError, match="must be given a sequence for more than 1,000 rows"):
        GivenRows(count(), "it")


def test_a_row_takes_little_more_memory_than_its_text(tmp_path):
    lines = [f"user{n},{random.random()}" for n in range(10_000)]
    text = "name,secret\n" + "\n".join(lines)
    import tracemalloc

    tracemalloc.start()
    rows = csv_rows(tmp_path, text)
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(rows) == 10_000
    assert kept < len(text) + 10_000 * 8 + 20_000  # the array may be over-allocated
