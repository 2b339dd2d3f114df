"""The options of ``amoc run`` that decide its verdict."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import click

from amoc.base.errors import UsageError
from amoc.cli.param_types import Duration
from amoc.results.thresholds import threshold
from amoc.results.thresholds.abort import GRACE_S


class _Grace(Duration):
    """An optional duration; the next argument may be taken for it by mistake."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Seconds, or a usage error."""
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter as error:
            raise click.BadParameter(
                f"{error.message}; write --abort-on-fail={GRACE_S:g}s, or put it last", ctx, param
            ) from None


_OPTIONS = (
    click.option(
        "--expect",
        "expected",
        metavar="EXPR",
        multiple=True,
        help="Threshold, a pass/fail criterion for the run (repeatable):"
        ' "message_ttd.p99 < 200ms", "crashes == 0", "messages_sent.rate > 900/s".',
    ),
    click.option(
        "--abort-on-fail",
        "abort_after",
        is_flag=False,
        flag_value=f"{GRACE_S:g}s",
        type=_Grace(zero=True),
        metavar="[DURATION]",
        help="Abort the run when a threshold has been violated for this long, or can no longer be"
        f" met.  [{GRACE_S:g}s if no time is given; default: never]",
    ),
    click.option(
        "--warmup",
        type=Duration(zero=True),
        default=0.0,
        help="Exclude this initial period from thresholds and statistics.  [default: 0s]",
    ),
    click.option(
        "--limited-ok",
        is_flag=True,
        help="Only report a load generator that was too slow, do not fail the run for it.",
    ),
)


def options(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of the verdict; `fields` takes their values."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def fields(
    *,
    expected: Sequence[str],
    abort_after: float | None,
    warmup: float,
    limited_ok: bool,
    duration_s: float | None,
) -> dict[str, Any]:
    """The fields of a `RunPlan` that the options set.

    Raises:
        UsageError: A threshold makes no sense, or the warm-up is as long as the run; a line for
            each that is wrong.
    """
    problems = []
    try:
        threshold.gather((threshold.COMMAND_LINE, expected))
    except UsageError as error:
        problems.append(str(error))
    if duration_s is not None and warmup >= duration_s:
        problems.append(
            f"--warmup must be shorter than the run, got {warmup:g} s of {duration_s:g} s"
        )
    if problems:
        raise UsageError("\n".join(problems))
    return {
        "thresholds": tuple(expected),
        "abort_after_s": abort_after,
        "warmup_s": warmup,
        "limited_ok": limited_ok,
    }
