import pytest
from hypothesis import given
from hypothesis import strategies as st

from amoc.install import requirements

OWN = {"click": "8.5.1", "my-lib": "2.0", "odd": "1.0rc1"}


@pytest.mark.parametrize(
    ("requirement", "name"),
    [
        ("click", "click"),
        ("My_Lib >= 1", "my-lib"),
        ("my.lib[extra]==1", "my-lib"),
        ("click ; python_version > '3'", "click"),
        ("click @ https://host/click.whl", "click"),
        ("./click.whl", None),
        ("/tmp/click.whl", None),
        ("--hash=sha256:1", None),
        ("https://host/click.whl", None),
        ("dist/click.whl", None),
        ("", None),
    ],
)
def test_the_distribution_name_of_a_requirement(requirement, name):
    assert requirements.name_of(requirement) == name


@pytest.mark.parametrize(
    ("specifier", "allowed"),
    [
        ("", True),
        ("==8.5.1", True),
        ("== 8.5.1.0", True),
        ("==8.5", False),
        ("==8.5.*", True),
        ("!=8.5.*", False),
        (">=8, <9", True),
        (">=8, <8.5", False),
        (">8.5.1", False),
        ("<=8.5.1", True),
        ("~=8.4", True),
        ("~=8.4.0", False),
        ("!=8.5.1", False),
        ("~=8", None),
        ("===8.5.1", None),
        (">=8.0rc1", None),
        (">=8.*", None),
        (">=8; python_version > '3'", None),
    ],
)
def test_version_specifiers_allow_the_right_versions(specifier, allowed):
    assert requirements.allows(specifier, "8.5.1") is allowed


NUMBERS = st.lists(st.integers(0, 30), min_size=1, max_size=4)


@given(NUMBERS, NUMBERS)
def test_versions_are_ordered_numerically(one, other):
    first, second = (".".join(map(str, some)) for some in (one, other))

    def said(operator):
        return requirements.allows(f"{operator}{second}", first)

    assert [said("<"), said("=="), said(">")].count(True) == 1
    assert said("<=") is (said("<") or said("=="))
    assert said(">=") is not said("<")
    assert said("!=") is not said("==")


@pytest.mark.parametrize(
    ("requirement", "met"),
    [
        ("click", True),
        ("Click>=8", True),
        ("my_lib<2", False),
        ("click[extra]", False),
        ("click; python_version > '3'", False),
        ("odd", True),
        ("odd>=1", False),
        ("absent", False),
        ("./click.whl", False),
    ],
)
def test_a_requirement_counts_as_met_only_if_certain(requirement, met):
    assert requirements.is_met(requirement, OWN) is met


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("file:///a%20b/my_lib-1.0-py3-none-any.whl --hash=sha256:1", "my_lib"),
        ("https://host/x/my.lib-1.0.tar.gz#sha256=1", "my.lib"),
        ("https://host/x/lib-2.zip", "lib"),
        ("https://host/my-lib-1.0.tar.gz", None),
        ("https://host/archive/main.zip", None),
        ("file:///own.whl", None),
        ("git+https://host/lib-1.0", None),
    ],
)
def test_an_address_is_named_if_it_contains_a_distribution_name(address, name):
    assert requirements.named(address) == (f"{name} @ {address}" if name else address)
