"""Bundles are reproducible, hold all a scenario needs, and unpack to the same files."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amoc.base import archives
from amoc.base.errors import PeerError, ScenarioError, UsageError
from amoc.install import bundle, lock_file
from amoc.install.declared import declared
from tests.service.archives import ATTACKS

WORD = st.from_regex(r"[a-z0-9_][a-z0-9_.-]{0,8}", fullmatch=True).filter(
    lambda word: not word.endswith(".pyc") and word not in ("pyvenv.cfg", "series.amoc", "chat.py")
)
FILES = st.dictionaries(WORD, st.binary(max_size=200), max_size=8)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache/amoc/bundles"


def write(directory: Path, files: dict[str, bytes]) -> Path:
    for name, content in {"chat.py": b"def start(user_id): pass\n", **files}.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return directory / "chat.py"


def contents(directory: Path) -> dict[str, bytes]:
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }


@settings(max_examples=30)
@given(files=FILES)
def test_a_bundle_unpacks_to_the_same_files_and_is_reproducible(
    files: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    first, second = tmp_path_factory.mktemp("first"), tmp_path_factory.mktemp("second")
    made = bundle.made_of(str(write(first, files)))
    shutil.copytree(first, second / "copy", copy_function=shutil.copyfile)
    os.utime(second / "copy/chat.py", (1, 1))
    assert made == bundle.made_of(str(second / "copy/chat.py"))
    assert made.scenario == "chat.py"
    bundle.unpack(made.data, second / "unpacked")
    assert contents(second / "unpacked") == contents(first)


def test_helpers_and_data_are_included_and_unrelated_files_are_not(tmp_path: Path) -> None:
    wanted = {"helpers/__init__.py": b"", "helpers/a.py": b"x = 1", "users.csv": b"name\nann\n"}
    left = {
        ".git/config": b"",
        ".env": b"secret",
        "__pycache__/chat.cpython-311.pyc": b"",
        "amoc-runs/1/summary.json": b"",
        "of-yesterday/series.amoc": b"",
        "of-yesterday/summary.json": b"",
        "venv/pyvenv.cfg": b"",
        "venv/lib/big.py": b"",
    }
    made = bundle.made_of(str(write(tmp_path / "here", {**wanted, **left})))
    bundle.unpack(made.data, tmp_path / "there")
    assert set(contents(tmp_path / "there")) == {"chat.py", *wanted}


def test_several_scenarios_are_bundled_with_their_loads(tmp_path: Path) -> None:
    write(tmp_path / "here/buy", {"buy.py": b""})
    write(tmp_path / "here/browse", {"browse.py": b""})
    made = bundle.made_of(f"{tmp_path}/here/buy/buy.py=10 {tmp_path}/here/browse/browse.py=90")
    assert made.scenario == "buy/buy.py=10 browse/browse.py=90"
    bundle.unpack(made.data, tmp_path / "there")
    assert {"buy/buy.py", "browse/browse.py"} <= set(contents(tmp_path / "there"))


def test_a_scenario_directory_is_bundled_as_a_directory(tmp_path: Path) -> None:
    write(tmp_path / "chat", {"__init__.py": b""})
    write(tmp_path / "other", {})
    made = bundle.made_of(str(tmp_path / "chat"))
    assert made.scenario == "chat"
    bundle.unpack(made.data, tmp_path / "there")
    assert set(contents(tmp_path / "there")) == {"chat/chat.py", "chat/__init__.py"}


def test_an_installed_module_is_not_bundled() -> None:
    assert bundle.made_of("shop.checkout") == bundle.Bundle(b"", "shop.checkout")
    assert bundle.made_of("shop.checkout").digest == ""


@pytest.mark.parametrize("form", ["{}", "{}=10 chat=90"])
def test_a_missing_file_is_not_searched_for_elsewhere(tmp_path: Path, form: str) -> None:
    with pytest.raises(ScenarioError, match=r"^scenario \S+/nowhere\.py does not exist$"):
        bundle.made_of(form.format(tmp_path / "nowhere.py"))


def test_a_file_name_not_allowed_in_archives_is_reported(tmp_path: Path) -> None:
    path = write(tmp_path, {"my notes.txt": b""})
    with pytest.raises(ScenarioError, match=r"my notes\.txt cannot be sent: names in"):
        bundle.made_of(str(path))


def test_errors_name_the_size_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, {f"{number}.csv": b"12345" for number in range(10)})
    monkeypatch.setattr(archives, "MAX_BYTES", 50)
    with pytest.raises(ScenarioError, match=r"at most 50 bytes can be sent.*its own directory"):
        bundle.made_of(str(path))
    monkeypatch.setattr(archives, "MAX_FILES", 10)
    with pytest.raises(
        ScenarioError, match=r"at most 10 files can be sent with a scenario, and .* has more"
    ):
        bundle.made_of(str(path))


def test_a_file_larger_than_memory_is_not_read(tmp_path: Path) -> None:
    path = write(tmp_path, {"rows.csv": b""})
    os.truncate(tmp_path / "rows.csv", 1 << 40)
    with pytest.raises(ScenarioError, match=r"bytes can be sent with a scenario, and .* has more"):
        bundle.made_of(str(path))


def test_a_digest_that_looks_like_a_path_is_not_looked_up_in_the_cache(own_cache: Path) -> None:
    bundle.keep(b"data", bundle.digest_of(b"data"))
    other = own_cache.parent / "precious"
    other.write_bytes(b"of somebody else")
    assert bundle.cached("../precious") is None
    assert bundle.cached(str(other)) is None
    assert other.exists()


@pytest.mark.parametrize("why", [one for one in ATTACKS if one != "must hold shop.py"])
def test_a_malicious_archive_is_rejected(tmp_path: Path, why: str) -> None:
    with pytest.raises(UsageError):
        bundle.unpack(ATTACKS[why](), tmp_path / "there")


def test_the_cache_returns_kept_bundles_and_drops_damaged_ones(own_cache: Path) -> None:
    digest = bundle.digest_of(b"data")
    assert bundle.cached(digest) is None
    bundle.keep(b"data", digest)
    assert bundle.cached(digest) == b"data"
    (own_cache / digest).write_bytes(b"dat")
    assert bundle.cached(digest) is None
    assert not (own_cache / digest).exists()
    with pytest.raises(PeerError, match="not the one that was announced"):
        bundle.keep(b"other", digest)


def test_the_cache_evicts_the_least_recently_used_bundle(own_cache: Path) -> None:
    kept = [f"{number}".encode() for number in range(bundle.KEPT)]
    for age, data in enumerate(kept):
        bundle.keep(data, bundle.digest_of(data))
        os.utime(own_cache / bundle.digest_of(data), (age, age))
    assert bundle.cached(bundle.digest_of(kept[0])) == kept[0]
    bundle.keep(b"new", bundle.digest_of(b"new"))
    assert bundle.cached(bundle.digest_of(kept[1])) is None
    assert bundle.cached(bundle.digest_of(kept[0])) == kept[0]
    assert len(list(own_cache.iterdir())) == bundle.KEPT


def test_versions_installed_here_are_bundled_as_a_lock_file(tmp_path: Path) -> None:
    text = b"# /// script\n# dependencies = ['colorama']\n# ///\n"
    path = write(tmp_path / "here", {"chat.py": text})
    libraries = tmp_path / "environments/1/lib"
    libraries.mkdir(parents=True)
    (libraries.parent / "resolved.txt").write_text("colorama==0.4.6\n")
    bundle.unpack(bundle.made_of(str(path), str(libraries)).data, tmp_path / "there")
    locked = lock_file.read((tmp_path / "there/chat.lock").read_text())
    assert [(one.name, one.version) for one in locked.pins] == [("colorama", "0.4.6")]
    found = declared(str(tmp_path / "there/chat.py"))
    assert found is not None
    assert locked.digest == found.digest
    assert not (tmp_path / "here/chat.lock").exists()
    (tmp_path / "here/chat.lock").write_text(locked.text("chat.py", "chat.py") + "# as it was\n")
    bundle.unpack(bundle.made_of(str(path), str(libraries)).data, tmp_path / "once-more")
    assert (tmp_path / "once-more/chat.lock").read_text().endswith("# as it was\n")
