"""CPU-intensive work on a run's files, in a separate process: summary, report, comparison."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from amoc.base.errors import UsageError
from amoc.results import saved_run
from amoc.results.run_directory import RunDirectory
from amoc.results.store.reader import StoredSeries
from amoc.service.isolated_main import main_of


def _main(what: str, *paths: str) -> Mapping[str, object]:
    if what == "detail":
        from amoc.results.report import detail

        path, from_s, to_s = paths
        points = StoredSeries(RunDirectory(Path(path)).series)
        shown = detail.Shown.from_json(json.load(sys.stdin))
        return detail.columns(points, float(from_s), float(to_s), shown)
    runs = [saved_run.load(RunDirectory(Path(path))) for path in paths]
    if what == "summary":
        return runs[0].summary
    if what == "report":
        from amoc.results.report import page

        return {"page": page.render(runs[0])}
    if what == "page":
        from amoc.results.report import detail, page, shell

        data, context, shown = page.parts(runs[0])
        return {
            "title": page.title(runs[0].summary),
            "data": data,
            "fragments": shell.fragments({**context, "detail_s": detail.MAX_S}),
            "shown": shown.to_json(),
        }
    if what == "compare page":
        from amoc.results.compare import comparison
        from amoc.results.compare import page as compare_page

        found = comparison.compare(runs[0], runs[1])
        data, compared = compare_page.parts(found)
        return {"title": compare_page.title(found), "data": data, "compared": compared}
    if what == "compare":
        from amoc.results.compare import comparison

        return comparison.compare(runs[0], runs[1]).to_json()
    raise UsageError(f"unknown request: {what}")


if __name__ == "__main__":
    main_of(_main)
