"""Plain values become ones of a setting's type without pydantic, and just as with it."""

from __future__ import annotations

import subprocess
import sys
from math import isnan
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from amoc.scenario.conversion import UNKNOWN, Before, Converter, known

FORMS = (
    *(bool, int, float, str, float | None, int | None, bool | None),
    *(str | None, int | str, bool | int, int | float | None, list[int]),
)
RAW = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.from_regex(r"[ +-]?[0-9]{1,18}(\.[0-9]{0,18})?(e[0-9])?", fullmatch=True),
    st.sampled_from(["true", "false", "True", "yes", "1", "0", "-0", "infinity", "inf", "nan"]),
)


def same(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float) and isnan(one):
        return isnan(other)
    return type(one) is type(other) and one == other


@given(st.sampled_from(FORMS), RAW)
def test_conversions_without_pydantic_agree_with_pydantic(form: Any, raw: object) -> None:
    found = known(form, raw)
    if found is not UNKNOWN:
        assert same(found, TypeAdapter(form).validate_python(raw))


@given(st.sampled_from(FORMS), RAW)
def test_a_converter_accepts_and_refuses_what_pydantic_does(form: Any, raw: object) -> None:
    try:
        expected = TypeAdapter(form).validate_python(raw)
    except ValidationError:
        if not (isinstance(raw, str) and raw[:1] in "[{"):  # which may be JSON
            with pytest.raises(ValueError, match=r"\S"):
                Converter(form).convert(raw)
    else:
        assert same(Converter(form).convert(raw), expected)


@pytest.mark.parametrize(
    ("form", "raw", "value"),
    [
        (int, "600", 600),
        (float, "0.5", 0.5),
        (float, 3, 3.0),
        (float, "infinity", float("inf")),
        (bool, "false", False),
        (float | None, None, None),
        (float | None, "infinity", float("inf")),
        (str, "600", "600"),
    ],
)
def test_common_setting_types_need_no_pydantic(form: Any, raw: object, value: object) -> None:
    assert same(known(form, raw), value)


def doubled(raw: object) -> object:
    if not isinstance(raw, int | float):
        raise ValueError("must be a number to be doubled")
    return 2 * raw


def test_a_value_is_prepared_alone_and_within_another_type() -> None:
    one = Annotated[float, Before(doubled)]
    assert same(Converter(one).convert(3), 6.0)
    assert Converter(list[one]).convert([1, 2.5]) == [2.0, 5.0]
    with pytest.raises(ValueError, match=r"^must be a number to be doubled$"):
        Converter(one).convert("3")
    with pytest.raises(ValueError, match=r"^must be a number to be doubled$"):
        Converter(list[one]).convert(["3"])


def test_a_table_may_be_given_as_json() -> None:
    assert Converter(dict[str, int]).convert('{"a": 1}') == {"a": 1}
    with pytest.raises(ValueError, match=r"^must be a valid list$"):
        Converter(list[int]).convert("[1.5, 2]")


def test_amoc_and_its_own_settings_need_no_pydantic() -> None:
    code = """
import sys
import amoc
import amoc.runtime.controller.controller, amoc.runtime.host
from amoc.scenario import settings
from amoc.scenario.resolving import resolve
given = {"user_rate": "infinity", "interarrival": "1s", "repeat_num": "2", "workers": "2"}
values = resolve(settings.declared(), [settings.Source("test", given, strict=True)])
assert values["interarrival"].value == 1000.0, values
assert "pydantic" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
