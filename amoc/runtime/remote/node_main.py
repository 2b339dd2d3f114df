"""The entry point of a node on a host whose clock is not the controller's: the clock is set first.

Nothing else of amoc may be imported before, because it would use the host's clock.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    from amoc.base import run_clock

    run_clock.follow(Path(sys.argv[2]), sys.argv[3])
    from amoc.runtime import host

    host.main(sys.argv[1])
