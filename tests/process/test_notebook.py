"""Results as pandas data frames, and as output of notebook cells run by a Jupyter kernel."""

from __future__ import annotations

import sys

import pytest

import amoc
from tests.servers import notebook
from tests.service.support import serving

pytestmark = [pytest.mark.slow, pytest.mark.once]

SHOP = """
from amoc import sleep, step


def start(user_id):
    for _ in range(10):
        with step("look <b>") as this:
            sleep(0.15)
            if user_id == 2:
                this.fail("sold out")
"""
CELLS = (
    """
import asyncio, sys, amoc

async def tick():
    while True:
        ticks.append(1)
        await asyncio.sleep(0.05)

ticks, ticking = [], asyncio.create_task(tick())
given = {"users": 2, "workers": 1, "limited_ok": True}
given["set"] = {"user_rate": "inf", "repeat_num": 1}
""",
    """
result = await asyncio.to_thread(amoc.run, "shop.py", **given)
ticking.cancel()
assert len(ticks) > 5, "the loop of the notebook goes on"
assert "gevent" not in sys.modules
result
""",
    """
seconds, requests = result.to_pandas(), result.to_pandas("requests")
assert seconds.index.name == "t_s"
assert len(seconds) == len(result.saved.points)
assert seconds["counters.look <b>.count.count"].sum() == 20
assert requests.loc["look <b>", "failures"] == 10
requests
""",
    """result.to_pandas("failures")[["cause", "count"]].to_dict("records")""",
)


def test_a_kernel_runs_a_scenario_and_shows_its_result(tmp_path):
    (tmp_path / "shop.py").write_text(SHOP)
    quiet, shown, frame, causes = notebook.executed(CELLS, tmp_path)
    assert quiet == []
    [result] = shown
    page = result["data"]["text/html"]
    assert "no criteria" in page
    assert "<svg" in page
    assert "requests per second (red: failed)" in page
    assert "look &lt;b&gt;" in page
    assert "look <b>" not in page
    assert result["data"]["text/plain"].startswith("<RunResult 'no criteria'")
    assert "look" in frame[0]["data"]["text/html"]
    assert causes[0]["data"]["text/plain"] == "[{'cause': 'sold out', 'count': 10}]"


COMPARED = """
import sys, amoc
from pandas.testing import assert_frame_equal

client, run, directory = amoc.Client(sys.argv[1]), sys.argv[2], sys.argv[3]
there, here = client.result(run), amoc.read_run(directory)
assert repr(there).startswith("<FetchedResult")
for what in ("seconds", "requests", "failures"):
    assert_frame_equal(there.to_pandas(what), here.to_pandas(what))
client.delete(run)
assert len(there.to_pandas()) > 0, "it was fetched once"
print(len(there.to_pandas("failures")), there._repr_html_().count("<svg"))
try:
    there.to_pandas("minutes")
except ValueError as error:
    print(error)
"""


def test_a_daemons_run_gives_the_same_data_frames_as_its_directory(tmp_path):
    (tmp_path / "scenarios").mkdir()
    (tmp_path / "scenarios" / "shop.py").write_text(SHOP)
    with serving(tmp_path) as daemon:
        run = daemon.start(
            "shop", users=2, workers=1, settings={"user_rate": "inf", "repeat_num": 1}
        )
        daemon.wait_for_end(run)
        directory = daemon.runs / run
        said = notebook.run(COMPARED, tmp_path, daemon.url, run, str(directory)).splitlines()
    assert said == ["1 2", "what must be seconds, requests, failures, got 'minutes'"]


def test_without_pandas_the_error_names_it(tmp_path, monkeypatch):
    (tmp_path / "shop.py").write_text("start = print\n")
    monkeypatch.setitem(sys.modules, "pandas", None)
    once = {"user_rate": "inf", "repeat_num": 1}
    result = amoc.run(tmp_path / "shop.py", users=1, set=once, run_dir=tmp_path / "run")
    with pytest.raises(amoc.AmocError, match=r"^to_pandas\(\) requires pandas, which is not"):
        result.to_pandas()
