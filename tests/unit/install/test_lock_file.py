import pytest

from amoc.install import lock_file
from amoc.install.lock_file import Lock, Pin

PINS = (
    Pin("attrs", "25.1", "attrs==25.1 --hash=sha256:1 --hash=sha256:2"),
    Pin("own", "", "own @ file:///own.whl --hash=sha256:3"),
)


def test_a_lock_file_round_trips():
    lock = Lock("abc", "3.11", PINS)
    text = lock.text("shop.py", "shop.py")

    assert lock_file.read(text) == lock
    assert "amoc check shop.py --lock" in text
    assert all(one.hashed for one in lock.pins)


def test_output_of_installers_is_parsed():
    text = (
        "Attrs==25.1 \\\n    --hash=sha256:1 \\\n    --hash=sha256:2\n# via x\n\nzope_x==1 # why\n"
    )

    assert lock_file.pins(text) == (
        Pin("attrs", "25.1", "Attrs==25.1 --hash=sha256:1 --hash=sha256:2"),
        Pin("zope-x", "1", "zope_x==1"),
    )


@pytest.mark.parametrize("text", ["", "attrs==25.1\n", "# amoc-lock: 2\n# python: 3.11\n"])
def test_a_file_made_by_another_tool_is_rejected(text):
    with pytest.raises(ValueError, match="it was not made by amoc check --lock"):
        lock_file.read(text)


def test_a_requirement_that_does_not_pin_one_version_is_rejected():
    with pytest.raises(ValueError, match="expected a version of a distribution, got 'attrs>=2'"):
        lock_file.pins("attrs>=2\n")
    with pytest.raises(ValueError, match=r"expected name @ address, got 'git\+https://host/own'"):
        lock_file.pins("git+https://host/own\n")


def test_installed_versions_are_not_installed_again():
    assert lock_file.to_install(PINS, {"attrs": "25.1"}) == [PINS[1]]
    assert lock_file.to_install(PINS, {}) == list(PINS)


def test_a_version_that_differs_from_amocs_own_is_rejected():
    with pytest.raises(ValueError, match=r"other versions: attrs==25\.1 \(amoc has 24\.2\)$"):
        lock_file.to_install(PINS, {"attrs": "24.2"})
