"""``amoc new``: which files are written, and what is rejected."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from amoc.base.errors import ResourceError, UsageError
from amoc.cli.main import cli
from tests.unit.recording.archive import archive, entry

VISIT = archive(entry("POST", "/login", form="name=ann&password=x"))


@pytest.fixture(autouse=True)
def _in_tmp_path(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("visit.har").write_bytes(VISIT)


def new(*arguments: str) -> str:
    done = CliRunner().invoke(cli, ["new", *arguments], standalone_mode=False)
    if done.exception is not None:
        raise done.exception
    return done.output


def test_written_files_are_listed() -> None:
    said = new("shop.py", "--har", "visit.har")
    assert said.splitlines()[:2] == ["written: shop.py", "written: shop.csv"]
    assert "AMOC_PASSWORD" in said
    assert {path.name for path in Path().iterdir()} == {"visit.har", "shop.py", "shop.csv"}


def test_the_name_may_include_a_directory() -> None:
    new("some/where/shop", "--kind", "http")
    assert Path("some/where/test_shop.py").is_file()


def test_nothing_is_overwritten_without_force() -> None:
    Path("shop.csv").write_text("mine")
    with pytest.raises(UsageError, match=r"shop\.csv exists; --force overwrites it"):
        new("shop", "--har", "visit.har")
    assert not Path("shop.py").exists()
    new("shop", "--har", "visit.har", "--force")
    assert Path("shop.csv").read_text() == "name\nann\n"


@pytest.mark.parametrize(
    ("file", "written"),
    [
        ("visit.har", "visit.py"),
        ("shop.example_Archive [26-11-28].har", "shop_example_Archive_26_11_28.py"),
        ("2026.har", "scenario_2026.py"),
        ("class.har", "scenario_class.py"),
        ("random.har", "scenario_random.py"),
        ("amoc.har", "scenario_amoc.py"),
        ("+.har", "scenario.py"),
    ],
)
def test_without_a_name_the_recording_gives_its_own(file, written) -> None:
    Path("some").mkdir()
    Path("some", file).write_bytes(VISIT)
    assert new("--har", f"some/{file}").startswith(f"written: {written}\n")
    with pytest.raises(UsageError, match=rf"{written} exists; --force overwrites it"):
        new("--har", f"some/{file}")


def test_without_a_name_the_description_of_an_api_gives_its_own() -> None:
    Path("shop-api.json").write_text(
        '{"openapi": "3.1.0", "info": {"title": "a", "version": "1"},'
        ' "servers": [{"url": "http://localhost"}], "paths": {"/a": {"get": {"responses": {}}}}}'
    )
    assert new("--openapi", "shop-api.json").startswith("written: shop_api.py\n")


REFUSED = [
    (("--kind", "http"), "amoc new --kind needs a NAME"),
    (("random", "--kind", "http"), "NAME must not be that of an installed module, got 'random'"),
    (("gevent", "--kind", "http"), "NAME must not be that of an installed module, got 'gevent'"),
    (("amoc", "--har", "visit.har"), "NAME must not be that of an installed module, got 'amoc'"),
    ((), "needs one of --har FILE"),
    (("my-shop", "--kind", "http"), "NAME must be letters, digits and '_'"),
    (("class", "--kind", "http"), "NAME must be letters, digits and '_'"),
    (("shop",), "needs one of --har FILE"),
    (("shop", "--har", "visit.har", "--kind", "http"), "needs one of --har FILE"),
    (("shop", "--kind", "http", "--all"), "--host and --all require --har"),
    (("shop", "--har", "none.har"), "none.har must be a file, but does not exist"),
    (("shop", "--har", "/dev/zero"), "/dev/zero must be a file"),
]


@pytest.mark.parametrize(("arguments", "why"), REFUSED)
def test_invalid_arguments_are_rejected(arguments: tuple[str, ...], why: str) -> None:
    with pytest.raises(UsageError) as raised:
        new(*arguments)
    assert why in str(raised.value)
    assert [path.name for path in Path().iterdir()] == ["visit.har"]


def test_a_file_where_a_directory_is_needed_is_an_error() -> None:
    with pytest.raises(ResourceError, match="cannot be written"):
        new("visit.har/shop", "--kind", "http")
