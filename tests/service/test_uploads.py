"""Scenarios uploaded over REST: valid ones and each kind of invalid one."""

from __future__ import annotations

import io
import json
import os
import shutil
import tarfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.process.support import eventually
from tests.service.archives import packed
from tests.service.support import Answer, Daemon, serving

pytestmark = pytest.mark.slow

GOOD = '''"""A shop."""

from amoc import setting

size = setting(3, "How large a basket is")


def start(user_id): ...
'''
BAD = {
    "no start": ("x = 1", "has no start()"),
    "syntax": ("def start(user_id):\n    if\n", "shop.py:2)"),
    "import": ("import nothing_like_that\ndef start(user_id): ...\n", "nothing_like_that"),
    "raises": ("def start(user_id): ...\n\n\n1 / 0\n", "ZeroDivisionError"),
    "setting": (
        "from amoc import setting\nx = setting(1)\ndef start(user_id): ...\n",
        "description",
    ),
    "empty": ("", "from 1 to"),
    "too long": ("#" * ((1 << 20) + 1), "from 1 to"),
}


@pytest.fixture
def shop(daemon: Daemon) -> Iterator[Path]:
    """The directory of uploads, emptied after the test."""
    uploads = daemon.directory / "amoc-scenarios"
    yield uploads
    for path in uploads.iterdir():
        path.unlink() if path.is_symlink() else shutil.rmtree(path)


def files(shop: Path) -> list[str]:
    """Return the files of the uploaded scenario, without Python's caches."""
    assert not [*shop.glob(".upload-*")]
    there = (shop / "shop").iterdir() if (shop / "shop").exists() else ()
    return sorted(path.name for path in there if path.name != "__pycache__")


def put(daemon: Daemon, data: str | bytes, name: str = "shop", kind: str = "text/plain") -> Answer:
    data = data.encode() if isinstance(data, str) else data
    return daemon.request("PUT", f"/scenarios/upload?name={name}", data=data, Content_Type=kind)


def kept(answer: Answer) -> Any:
    assert answer.status == 200, answer.data
    return answer.json


def test_an_uploaded_scenario_can_be_run_and_replaced(daemon: Daemon, shop: Path) -> None:
    first = kept(put(daemon, GOOD))
    assert (first["name"], first["doc"], first["replaced"]) == ("shop", "A shop.", False)
    assert [one["name"] for one in first["settings"] if one["own"]] == ["size"]
    assert "shop" in daemon.get("/scenarios")["scenarios"]
    again = kept(put(daemon, GOOD))
    assert again == {**first, "replaced": True}
    other = kept(put(daemon, GOOD.replace("A shop", "Another shop"), kind="text/x-python"))
    assert other["doc"] == "Another shop."
    assert daemon.get("/scenarios/info/shop")["doc"] == "Another shop."
    body = {"scenario": "shop", "settings": {"size": 4, "repeat_num": 1}, "workers": 1}
    assert daemon.wait_for_end(daemon.patch("/execution/start", body)["run"])["users"] == 1
    assert files(shop) == ["shop.py"]


def test_older_routes_still_work(daemon: Daemon, shop: Path) -> None:
    source = {"scenario": "shop", "module_source": GOOD}
    assert kept(daemon.request("POST", "/scenarios", source))["name"] == "shop"
    assert daemon.get("/scenarios/stayers") == {"name": "stayers", "state": "loaded", "runs": []}
    run = daemon.patch("/scenarios/stayers", {"users": 2})["run"]
    daemon.wait_for_users(run, 2)
    state = daemon.get("/scenarios/stayers")
    assert (state["state"], state["runs"]) == ("running", [run])
    daemon.patch("/execution/stop")
    daemon.wait_for_end(run)


@pytest.mark.parametrize("kind", ["zip", "gz"])
def test_an_archive_includes_its_helper_modules(daemon: Daemon, shop: Path, kind: str) -> None:
    sources = {"shop.py": "from basket import size\n" + GOOD, "basket.py": "size = 2\n"}
    sent = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(sent, "w") as archive:
            for name, text in sources.items():
                archive.writestr(name, text)
    else:
        with tarfile.open(fileobj=sent, mode="w:gz") as tar:
            for name, text in sources.items():
                info = tarfile.TarInfo(f"./{name}")
                info.size = len(text)
                tar.addfile(info, io.BytesIO(text.encode()))
    kept(put(daemon, sent.getvalue(), kind="application/octet-stream"))
    assert daemon.get("/scenarios/info/shop")["name"] == "shop"
    assert files(shop) == sorted(sources)
    assert daemon.get("/scenarios")["scenarios"] == ["shop", "stayers"]
    kept(put(daemon, GOOD))
    assert files(shop) == ["shop.py"]


@pytest.mark.parametrize("what", BAD)
def test_an_invalid_source_is_refused_and_the_previous_one_kept(
    daemon: Daemon, shop: Path, what: str
) -> None:
    if what == "syntax":
        kept(put(daemon, GOOD))
    source, why = BAD[what]
    refused = put(daemon, source)
    assert refused.status == 422
    problem = refused.json
    assert why in problem["detail"]
    assert "/" not in problem["detail"].replace("1 / 0", ""), "shows where it was"
    assert problem["errors"][0]["field"] == "body"
    assert files(shop) == (["shop.py"] if what == "syntax" else [])


def test_an_error_in_init_is_the_answer_to_the_start(daemon: Daemon, shop: Path) -> None:
    source = GOOD.replace(
        "def start", 'def init():\n    raise ValueError("no shop")\n\n\ndef start'
    )
    kept(put(daemon, source))
    refused = daemon.patch("/execution/start", {"scenario": "shop", "workers": 1}, status=422)
    assert "no shop" in refused["detail"]
    assert refused["exit_code"] == 5
    assert [one for one in daemon.get("/runs")["runs"] if one["scenario"] == "shop"] == []


LATE = '''
"""Users that read a file of theirs late."""

from pathlib import Path

from amoc import metrics, setting, user

go_on = setting(False, "Whether to read it", update="free")


def start(user_id):
    while not go_on.get():
        user.wait_stopping(0.02)
    price = Path(__file__).with_name("price.txt").read_text()
    metrics.counter(f"paid {price}").inc()
'''


def test_a_run_keeps_its_files_whatever_is_uploaded_during_it(daemon: Daemon, shop: Path) -> None:
    def upload(price: str) -> Any:
        archive = packed(("shop.py", LATE.encode()), ("price.txt", price.encode()))
        return kept(put(daemon, archive, kind="application/zip"))

    def paid(run: str) -> Any:
        daemon.patch("/execution/set", {"run": run, "values": {"go_on": True}})
        daemon.wait_for_end(run)
        counters = daemon.get(f"/runs/{run}/summary")["counters"]
        return {name: count for name, count in counters.items() if name.startswith("paid")}

    once = {"settings": {"repeat_num": 1}, "users": 2}
    assert not upload("5")["replaced"]
    first = daemon.start("shop", **once)
    assert upload("7")["replaced"]
    assert daemon.get("/scenarios")["scenarios"] == ["shop", "stayers"]
    assert paid(first) == {"paid 5": 2}
    assert paid(daemon.start("shop", **once)) == {"paid 7": 2}
    again = daemon.patch("/execution/replay", {"run": first})["run"]  # repeats its commands, too
    daemon.wait_for_end(again)
    assert daemon.get(f"/runs/{again}/summary")["counters"]["paid 5"] == 2
    assert upload("7")["replaced"]  # with an earlier upload: nothing is stored twice
    assert len([*shop.glob("_sent/*")]) == 2


def test_names_are_checked(daemon: Daemon) -> None:
    for name in ("", "..", "a/b", "a.py", ".hidden", "1st", "x" * 101, "a%00"):
        refused = put(daemon, GOOD, name=name)
        assert refused.status == 422, name
        assert refused.json["errors"][0]["field"] == "name"
    own = put(daemon, GOOD, name="stayers")
    assert own.status == 409
    assert "cannot be replaced" in own.json["detail"]


@pytest.mark.once
def test_files_sent_for_runs_are_removed_when_unused(tmp_path: Path) -> None:
    sent = tmp_path / "amoc-scenarios/_sent"
    for name, age_s in (("used", 7200), ("unused", 7200), ("named", 7200), ("fresh", 60)):
        (sent / name).mkdir(parents=True)
        (sent / name / "shop.py").write_text(GOOD)
        then = time.time() - age_s
        os.utime(sent / name, (then, then))
    (sent.parent / "shop").symlink_to("_sent/named")
    run = tmp_path / "amoc-runs/20200101T000000-shop"
    run.mkdir(parents=True)
    scenarios = f"{sent}/used/shop.py=1 {tmp_path}/scenarios/stayers.py=2"
    begun = {"kind": "run", "scenario": {"path": scenarios}, "plan": {}}
    (run / "journal.jsonl").write_text(json.dumps(begun) + "\n")
    with serving(tmp_path) as daemon:
        eventually(lambda: not (sent / "unused").exists(), "what nobody uses is removed")
        assert {one.name for one in sent.iterdir()} == {"used", "named", "fresh"}
        assert daemon.get("/scenarios")["scenarios"] == ["shop", "stayers"]
        assert daemon.get("/scenarios/info/_sent/used/shop")["doc"] == "A shop."
        refused = daemon.request("PUT", "/scenarios/files", data=b"start = print\n")
        assert (refused.status, refused.json["detail"]) == (
            422,
            "the body must be a zip or tar archive, got something else",
        )
        fresh = sent / "fresh"
        with (fresh / "data.bin").open("wb") as file:
            file.truncate(4 << 30)
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("shop.py", GOOD)
        refused = daemon.request("PUT", "/scenarios/files", data=packed.getvalue())
        assert refused.status == 507
        assert "of at most 4,294,967,296 bytes" in refused.json["detail"]
        os.utime(fresh, (then, time.time() - 7200))
        taken = daemon.request("PUT", "/scenarios/files", data=packed.getvalue())
        assert taken.status == 200, taken.data
        assert not fresh.exists()
