"""Names of throttles, coordinators and barriers: any printable text of one line."""

from __future__ import annotations

import pytest

from amoc.base.errors import ScenarioError
from amoc.base.names import check_name


@pytest.mark.parametrize("name", ["a", "a b", "=", "écran 東京\u3000🎉", "ü" * 200])
def test_any_printable_text_is_a_valid_name(name):
    assert check_name("throttle", name) == name


@pytest.mark.parametrize("wrong", ["", "a\nb", "\x9b", "\ud800", "a" * 201, 5, None])
def test_an_invalid_name_is_refused_and_shown(wrong):
    with pytest.raises(ScenarioError, match="name of a barrier must be text of 1 to 200") as caught:
        check_name("barrier", wrong)
    assert len(str(caught.value)) < 200
    assert str(caught.value).isprintable()
