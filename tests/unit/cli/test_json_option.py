"""`--json [FILE]` works the same in every command."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from amoc.base.errors import UsageError
from amoc.cli.json_option import JsonCommand, json_option, json_parameter, place_of
from amoc.cli.main import cli

Read = tuple[dict[str, object], str]


@click.command(cls=JsonCommand)
@click.argument("first")
@click.argument("second")
@click.option("--users", type=int)
@json_option("all")
def two(**read: object) -> dict[str, object]:
    return read


def add_to(**read: object) -> dict[str, object]:
    return read


add = JsonCommand(
    "add",
    callback=add_to,
    params=[
        click.Argument(["count"], required=False, type=int),
        click.Option(["--ids"]),
        json_parameter("all"),
    ],
    instead={"count": "ids"},
)


def read(command: click.Command, *words: str) -> object:
    """Return what the command parses from the words, or the error."""
    done = CliRunner().invoke(command, words, standalone_mode=False)
    return done.return_value if done.exception is None else done.exception


@pytest.mark.parametrize(
    ("words", "file"),
    [
        (("A", "B"), None),
        (("A", "B", "--json"), "-"),
        (("A", "B", "--json", "-"), "-"),
        (("A", "B", "--json", "out"), "out"),
        (("--json", "out", "A", "B"), "out"),
        (("--json=out", "A", "B"), "out"),
        (("--json", "A", "B"), "-"),
        (("A", "--json", "B"), "-"),
        (("--json", "--", "A", "B"), "-"),
        (("--json", "--users", "3", "A", "B"), "-"),
    ],
)
def test_a_word_needed_by_an_argument_is_not_taken_as_the_file(
    words: tuple[str, ...], file: str | None
) -> None:
    found = read(two, *words)
    assert isinstance(found, dict)
    assert (found["first"], found["second"], found["json_file"]) == ("A", "B", file)


@pytest.mark.parametrize(
    ("words", "missing"),
    [(("--json",), "first"), (("--json", "A"), "second"), (("A", "--json=B"), "second")],
)
def test_an_argument_that_is_still_missing_is_named(words: tuple[str, ...], missing: str) -> None:
    error = read(two, *words)
    assert isinstance(error, click.MissingParameter)
    assert error.param is not None
    assert error.param.name == missing


@pytest.mark.parametrize(
    ("words", "count", "ids", "file"),
    [
        (("--json", "7"), 7, None, "-"),
        (("7", "--json", "8"), 7, None, "8"),
        (("--ids", "1-2", "--json", "7"), None, "1-2", "7"),
        (("--json", "out"), None, None, "out"),
        (("--json",), None, None, "-"),
    ],
)
def test_an_argument_with_an_alternative_takes_a_fitting_word_only_if_both_are_missing(
    words: tuple[str, ...], count: int | None, ids: str | None, file: str
) -> None:
    assert read(add, *words) == {"count": count, "ids": ids, "json_file": file}


def test_every_command_declares_the_same_json_option() -> None:
    having = {
        name: one
        for name, one in cli.all_commands().items()
        if any("--json" in parameter.opts for parameter in one.params)
    }
    assert {"run", "plan", "replay", "compare", "export", "runs", "status", "add"} <= set(having)
    for one in having.values():
        assert isinstance(one, JsonCommand)
        (option,) = (parameter for parameter in one.params if "--json" in parameter.opts)
        assert option.metavar == "[FILE]"
        assert "to FILE as JSON; without FILE, or with -, print it" in str(option.to_info_dict())


def test_output_is_an_alias_for_the_json_file() -> None:
    assert place_of(None, None) == place_of("-", None) == "-"
    assert place_of("out", None) == place_of("-", "out") == place_of(None, "out") == "out"
    with pytest.raises(UsageError, match=r"^--json FILE and --output are mutually exclusive"):
        place_of("one", "other")
