"""The child's side of `amoc.service.isolated`: answers and exits."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping

from amoc.base import process
from amoc.base.errors import AmocError


def main_of(work: Callable[..., Mapping[str, object]]) -> None:
    """Answer with the result of ``work(*arguments)``, or with its error.

    Output that a scenario prints goes to standard error, not into the answer.
    """
    _, server, *arguments = sys.argv
    sys.dont_write_bytecode = True  # keep the directories of uploaded scenarios as they are
    process.die_with(int(server))
    answers = os.dup(1)
    os.dup2(2, 1)
    try:
        made = work(*arguments)
    except AmocError as error:
        made = {"error": str(error), "exit_code": int(error.exit_code)}
    with os.fdopen(answers, "w") as file:
        json.dump(made, file, allow_nan=False)
    process.leave(0)
