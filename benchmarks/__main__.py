"""List the programs, run them, and compare their figures.

python -m benchmarks
python -m benchmarks run [NAME …] [--short] [--rounds N] [--json FILE] [-- ARGUMENTS]
python -m benchmarks compare BEFORE.json AFTER.json
"""

from __future__ import annotations

import argparse
import ast
import datetime as dt
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import comparison, machine, outcome
from benchmarks.processes import end_group

HERE = Path(__file__).resolve().parent
SHORT_S, LONG_S = 120.0, 7200.0
"""Time after which a program that has not ended is killed."""


class Program(NamedTuple):
    """A module that measures something."""

    name: str
    question: str
    """The first line of its docstring."""
    short: list[str]
    """Arguments with which it ends within a few seconds."""
    needs: list[str]
    """Other programs without which it cannot run."""
    python: tuple[int, int] = (3, 11)
    """Oldest version of Python that it runs on."""

    def missing(self) -> str:
        """Return why it cannot run; empty if it can."""
        if not self.runs_here():
            version = ".".join(map(str, self.python))
            return f"wanted Python {version} or later, got {sys.version.split()[0]}"
        absent = [one for one in self.needs if shutil.which(one) is None]
        return f"{', '.join(absent)} not installed" if absent else ""

    def runs_here(self) -> bool:
        """Return whether this version of Python is new enough."""
        return sys.version_info >= self.python


def programs() -> list[Program]:
    """Return all programs. Loads none of them: some patch the process that loads them."""
    found = []
    for path in sorted([*HERE.glob("*.py"), *HERE.glob("*/__main__.py")]):
        name = path.parent.name if path.stem == "__main__" else path.stem
        tree = ast.parse(path.read_text())
        facts = {
            target: ast.literal_eval(node.value)
            for node in tree.body
            if isinstance(node, ast.Assign)
            and (target := ast.unparse(node.targets[0])) in ("SHORT", "NEEDS", "PYTHON")
        }
        if "SHORT" in facts:
            question = (ast.get_docstring(tree) or "").partition("\n")[0]
            needs, python = facts.get("NEEDS", []), facts.get("PYTHON", (3, 11))
            found.append(Program(name, question, facts["SHORT"], needs, python))
    return found


def run(program: Program, arguments: list[str], rounds: int, seconds: float) -> dict[str, Any]:
    """Run a program `rounds` times. Return its figures, and whether it failed."""
    figures: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory(prefix="amoc-benchmark-") as directory:
        path = Path(directory) / "figures"
        path.touch()
        codes = [_run_once(program.name, arguments, path, seconds) for _ in range(rounds)]
        for line in path.read_text().splitlines():
            one = json.loads(line)
            kept = figures.setdefault(one["name"], {"unit": one["unit"], "values": []})
            kept["values"].append(one["value"])
    failed = any(code not in (outcome.Exit.DONE, outcome.Exit.MISSED) for code in codes)
    return {"arguments": arguments, "exit_codes": codes, "failed": failed, "figures": figures}


def _run_once(name: str, arguments: list[str], figures: Path, seconds: float) -> int:
    """Return the exit code. A program that does not end in time is killed and counts as failed."""
    print(f"== {name} {' '.join(arguments)}", flush=True)
    process = subprocess.Popen(
        [sys.executable, "-m", f"benchmarks.{name}", *arguments],
        cwd=HERE.parent,
        env={**os.environ, outcome.FILE: str(figures)},
        start_new_session=True,
    )
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        print(f"FAILED: {name} had not ended after {seconds:g} s", flush=True)
        return int(outcome.Exit.FAILED)
    finally:
        end_group(process)


def version() -> str:
    """Return the measured version: the commit, and whether files have changed since."""
    told = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=HERE,
        capture_output=True,
        text=True,
        check=False,
    )
    return told.stdout.strip() or "unknown version"


def run_all(options: argparse.Namespace) -> int:
    """Run the requested programs. Exit with an error if one failed."""
    known = {one.name: one for one in programs()}
    if unknown := sorted(set(options.names) - set(known)):
        sys.exit(f"no such program: {', '.join(unknown)}; there are {', '.join(known)}")
    if options.arguments and len(options.names) != 1:
        sys.exit("arguments after -- are for one program; name it")
    at, load = dt.datetime.now(dt.UTC), machine.load()
    done = {}
    for name in options.names or known:
        if why := known[name].missing():
            print(f"{name}: left out, {why}", flush=True)
            continue
        arguments = options.arguments or (known[name].short if options.short else [])
        seconds = SHORT_S if options.short else LONG_S
        done[name] = run(known[name], arguments, options.rounds, seconds)
    result = {
        "format": comparison.FORMAT,
        "version": version(),
        "at": at.isoformat(timespec="seconds"),
        "machine": machine.facts(),
        "load": [load, machine.load()],
        "programs": done,
    }
    if options.json:
        if options.json.exists():
            try:
                result = comparison.joined(read(options.json), result)
            except ValueError as error:
                sys.exit(f"{options.json} cannot be added to: {error}")
        options.json.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    failed = [name for name, one in done.items() if one["failed"]]
    print(f"failed: {', '.join(failed)}" if failed else f"{len(done)} programs ran", flush=True)
    return int(outcome.Exit.FAILED if failed else outcome.Exit.DONE)


def read(path: Path) -> dict[str, Any]:
    """Read a file of results."""
    result: dict[str, Any] = json.loads(path.read_text())
    if result.get("format") != comparison.FORMAT:
        sys.exit(f"{path} must have the format {comparison.FORMAT}, got {result.get('format')}")
    return result


def main() -> int:
    """Run the command line."""
    words = sys.argv[1:]
    at = words.index("--") if "--" in words else len(words)
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command")
    running = commands.add_parser("run", help="run programs; a program's arguments follow --")
    running.add_argument("names", nargs="*", metavar="NAME", help="default: all programs")
    running.add_argument("--short", action="store_true", help="run a few seconds each, as a test")
    running.add_argument("--rounds", type=int, default=1, help="runs of each program")
    running.add_argument("--json", type=Path, metavar="FILE", help="write or add figures to FILE")
    comparing = commands.add_parser("compare", help="ratios of two files, with their spread")
    comparing.add_argument("before", type=Path)
    comparing.add_argument("after", type=Path)
    options = parser.parse_args(words[:at], argparse.Namespace(arguments=words[at + 1 :]))
    if options.command == "run":
        return run_all(options)
    if options.command == "compare":
        print("\n".join(comparison.compare(read(options.before), read(options.after))))
        return 0
    for one in programs():
        print(f"{one.name:<18}{one.question}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
