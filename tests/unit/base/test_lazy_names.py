import subprocess
import sys

import pytest

import amoc
from amoc import metrics
from amoc.base import lazy_names


def test_a_name_is_loaded_once_and_is_then_a_global():
    package = {"__name__": "mine"}
    load = lazy_names.loader(package, {"json": ("dumps",)}, {"text": "string"})

    assert load("dumps")([1]) == "[1]"
    assert load("text").digits == "0123456789"
    assert package.keys() == {"__name__", "dumps", "text"}


def test_a_missing_name_is_an_attribute_error():
    load = lazy_names.loader({"__name__": "mine"}, {"json": ("dumps",)})

    with pytest.raises(AttributeError, match="module 'mine' has no attribute 'loads'"):
        load("loads")


@pytest.mark.parametrize("package", [amoc, metrics], ids=lambda one: one.__name__)
def test_every_name_in_all_exists(package):
    for name in package.__all__:
        assert getattr(package, name) is not None


@pytest.mark.slow
def test_a_program_that_reads_runs_loads_no_gevent():
    text = (
        "import sys; import amoc; from amoc.results import saved_run; from amoc.results.export"
        " import tables; print([one for one in sys.modules if one in ('gevent', 'zmq', 'numpy')])"
    )
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=60)

    assert (done.stdout, done.stderr) == ("[]\n", "")
