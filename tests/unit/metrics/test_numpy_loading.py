"""NumPy is loaded when it pays off, while the event loop goes on."""

from __future__ import annotations

import subprocess
import sys
from textwrap import dedent

import pytest

from amoc.metrics.numpy_loading import WORTH_CELLS


def printed(code: str, error: str = "") -> str:
    """Return what a Python process without NumPy prints; its errors must contain `error`."""
    done = subprocess.run(
        [sys.executable, "-c", dedent(code)], capture_output=True, text=True, timeout=60
    )
    assert error in done.stderr if error else not done.stderr
    return done.stdout


@pytest.mark.parametrize(("cells", "loaded"), [(WORTH_CELLS - 1, False), (WORTH_CELLS, True)])
def test_numpy_is_loaded_for_many_cells_only(cells, loaded):
    found = printed(f"""
        import sys
        from amoc.metrics import numpy_loading, vectors
        before = vectors.at_once()
        numpy_loading.load_for({cells})
        print("numpy" in sys.modules, vectors.at_once() > before)
    """)
    assert found.split() == [str(loaded)] * 2


def test_the_event_loop_goes_on_while_numpy_is_loaded():
    found = printed(f"""
        import sys
        import gevent
        from amoc.metrics import numpy_loading
        turns, interval = 0, sys.getswitchinterval()

        def turn():
            global turns
            while True:
                gevent.sleep(0.0001)
                turns += 1

        other = gevent.spawn(turn)
        numpy_loading.load_for({WORTH_CELLS})
        seen = turns
        other.kill()
        print(seen > 10, sys.getswitchinterval() == interval, "gevent.threadpool" in sys.modules)
    """)
    assert found.split() == ["True", "True", "False"]


def test_work_goes_on_in_plain_python_if_numpy_cannot_be_loaded():
    code = f"""
        import sys
        from amoc.metrics import numpy_loading, vectors
        sys.modules["numpy"] = None
        before = vectors.at_once()
        numpy_loading.load_for({WORTH_CELLS})
        print(vectors.at_once() == before)
    """
    assert printed(code, error="ModuleNotFoundError").split() == ["True"]
