"""``python -m amoc.results.report DIRECTORY``: run by a controller to make its run's report.

On an error, the last line printed describes it, and the exit status is 1.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from amoc.base import process
from amoc.base.errors import AmocError
from amoc.results import saved_run
from amoc.results.report import page
from amoc.results.run_directory import RunDirectory


def main() -> int:
    """Write the report. The process ends when its parent does."""
    process.die_with(os.getppid())
    process.set_title("report")
    directory = RunDirectory(Path(sys.argv[1]))
    try:
        page.write(saved_run.load(directory), directory.report)
    except (AmocError, OSError) as error:
        print(error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
