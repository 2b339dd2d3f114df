"""Where raw settings come from: pairs, the environment and a TOML file, strongest first."""

from __future__ import annotations

import pytest

from amoc.base.errors import SettingError, UsageError
from amoc.scenario.settings_sources import MAX_DEPTH, gather


def labelled(*args) -> dict[str, dict[str, object]]:
    return {label: dict(values) for label, values, _ in gather(*args)}


@pytest.fixture(autouse=True)
def _directory_without_a_config_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_precedence_is_command_line_then_environment_then_file(tmp_path):
    (tmp_path / "amoc.toml").write_text("rate = 3\n")
    found = gather(["rate=1"], {"AMOC_RATE": "2"}, None)
    assert [label for label, _, _ in found] == ["--set", "AMOC_{name}", "amoc.toml"]
    assert [values["rate"] for _, values, _ in found] == ["1", "2", 3]
    assert [strict for _, _, strict in found] == [True, False, True]


@pytest.mark.parametrize(
    ("pair", "name", "value"),
    [
        ("a=1", "a", "1"),
        ("a=", "a", ""),
        ("a=b=c", "a", "b=c"),
        (" a = b", "a", " b"),
        ("a=é\n", "a", "é\n"),
    ],
)
def test_the_first_equals_sign_ends_the_name(pair, name, value):
    assert labelled([pair], {}, None)["--set"] == {name: value}


@pytest.mark.parametrize("pair", ["rate", "", "=5"])
def test_a_pair_without_name_or_equals_sign_is_a_usage_error(pair):
    with pytest.raises(UsageError, match="--set: expected NAME=VALUE, got") as caught:
        gather([pair], {}, None)
    assert repr(pair) in str(caught.value)


def test_the_last_pair_of_a_name_wins():
    assert labelled(["a=1", "a=2"], {}, None)["--set"] == {"a": "2"}


def test_only_variables_with_the_amoc_prefix_count_in_any_case():
    environment = {
        "AMOC_RATE": "1",
        "amoc_mode": "2",
        "Amoc_Xmpp_Port": "3",
        "RATE": "4",
        "AMOC": "5",
    }
    assert labelled([], environment, None)["AMOC_{name}"] == {
        "rate": "1",
        "mode": "2",
        "xmpp_port": "3",
    }


def test_only_the_default_file_may_be_missing(tmp_path):
    assert labelled([], {}, None)["amoc.toml"] == {}
    with pytest.raises(UsageError, match=r"--config no\.toml cannot be read: No such file"):
        gather([], {}, "no.toml")
    with pytest.raises(UsageError, match="cannot be read: Is a directory"):
        gather([], {}, str(tmp_path))


@pytest.mark.parametrize("content", [b"rate =", b"rate = 1\nrate = 2", b"\xff\xfe", b"[a\n"])
def test_a_file_that_is_not_toml_is_reported_in_one_line(tmp_path, content):
    (tmp_path / "my.toml").write_bytes(content)
    with pytest.raises(SettingError, match=r"my\.toml is not valid TOML: ") as caught:
        gather([], {}, "my.toml")
    assert "\n" not in str(caught.value)


def test_a_named_file_is_read_instead_of_the_default_one(tmp_path):
    (tmp_path / "amoc.toml").write_text("a = 1\n")
    (tmp_path / "my.toml").write_text('b = "x"\n[chat]\nc = [1, 2]\n')
    assert labelled([], {}, "my.toml")["my.toml"] == {"b": "x", "chat": {"c": [1, 2]}}


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("a = 18446744073709551616", "a must fit into 64 bits, got 18446744073709551616"),
        ("[chat]\nb = [-9223372036854775809]", "chat.b must fit into 64 bits, got -92233"),
        ("[[accounts]]\npassword = 18446744073709551616", "64 bits, got (hidden)"),
        (
            "[secrets]\npin = 18446744073709551616",
            "secrets.pin must fit into 64 bits, got (hidden)",
        ),
        (
            "[chat.token]\na = [{b = 18446744073709551616}]",
            "chat.token.a.b must fit into 64 bits, got (h",
        ),
        ("token = [[5, 18446744073709551616]]", "token must fit into 64 bits, got (hidden)"),
        ("a = " + "[" * 51 + "]" * 51, "a must be nested at most 50 deep, got more"),
    ],
)
def test_values_of_a_file_that_cannot_be_sent_to_workers_are_refused(tmp_path, content, complaint):
    (tmp_path / "my.toml").write_text(content)
    with pytest.raises(SettingError) as caught:
        gather([], {}, "my.toml")
    assert complaint in str(caught.value)
    assert str(caught.value).endswith("(from my.toml)")


def test_a_file_nested_too_deep_to_read_is_one_clear_error(tmp_path):
    (tmp_path / "my.toml").write_text("a = " + "[" * 20_000 + "]" * 20_000)
    with pytest.raises(SettingError, match=r"my\.toml is not valid TOML: nested too deep"):
        gather([], {}, "my.toml")


def test_dates_and_times_become_text(tmp_path):
    (tmp_path / "my.toml").write_text("a = 2026-11-24\n[b]\nc = [07:32:00]\n")
    assert labelled([], {}, "my.toml")["my.toml"] == {"a": "2026-11-24", "b": {"c": ["07:32:00"]}}


def test_an_empty_environment_variable_counts_as_unset():
    assert labelled([], {"AMOC_RATE": "", "AMOC_MODE": " "}, None)["AMOC_{name}"] == {"mode": " "}


def test_no_source_is_strict_if_undeclared_names_are_allowed(tmp_path):
    (tmp_path / "amoc.toml").write_text("rate = 3\n")
    assert [one.strict for one in gather(["a=1"], {}, None, undeclared=True)] == [False] * 3


def test_lists_may_be_nested_up_to_the_depth_that_can_be_sent(tmp_path):
    (tmp_path / "amoc.toml").write_text("a = " + "[" * MAX_DEPTH + "]" * MAX_DEPTH)
    assert "a" in labelled([], {}, None)["amoc.toml"]
    (tmp_path / "amoc.toml").write_text("a = " + "[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1))
    with pytest.raises(SettingError, match="nested at most"):
        gather([], {}, None)
