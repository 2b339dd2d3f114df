"""Preview of a run: what it would do and when. Pure.

Computed from the plan and from what is known once the scenario is loaded. What cannot be known
before the run, such as the duration of an iteration, is listed as open.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import floor, inf

from amoc.base.clock import S_NS
from amoc.base.json_plain import JsonObject, plain
from amoc.scenario import cluster
from amoc.scenario.fd_budget import RESERVED_FDS
from amoc.scenario.load_profile import Leg, Stages, parse_profile
from amoc.scenario.run_plan import RunPlan
from amoc.scenario.start_rate import USER_RATE, first_rate
from amoc.users.placement import Placement, layout_of


@dataclass(frozen=True)
class Host:
    """What is known once the scenario is loaded.

    Attributes:
        settings: Name, value as text, and source of each setting.
        interarrival_ms: Time between two user starts.
        user_rate: User starts per minute; None if interarrival is used.
        repeat_num: Iterations per user.
        repeat_interval_s: Time between two iterations.
        fds_per_user: File descriptors that each user needs.
        fd_limit: Maximum number of file descriptors of a worker.
        has_init: Whether the scenario has an init(), which may start throttles.
    """

    settings: Sequence[Mapping[str, str]]
    workers: int
    interarrival_ms: float
    user_rate: float | None
    repeat_num: float
    repeat_interval_s: float
    fds_per_user: int
    fd_limit: int
    has_init: bool


def preview(plan: RunPlan, host: Host) -> JsonObject:
    """Return all that is known about the run before it starts, as JSON."""
    return {
        "scenario": plan.scenario,
        "comment": plan.comment,
        "seed": plan.seed,
        "settings": [dict(one) for one in host.settings],
        "users": _users(plan, host.workers),
        "starts": _starts(plan, host),
        "arrivals": _arrivals(plan),
        "stages": [] if plan.stages is None else [_stage(leg) for leg in plan.stages.legs()],
        "throttles": [_throttle(name, text) for name, text in sorted(plan.rates.items())],
        "commands": [
            {"t_s": t_s, "name": name, "arguments": plain(arguments)}
            for t_s, name, arguments in plan.timeline
        ],
        "descriptors": _descriptors(plan, host),
        "end": _end(plan, host),
        "open": _open(plan, host),
    }


def _users(plan: RunPlan, workers: int) -> dict[str, object]:
    ids, nodes = plan.planned_ids, cluster.parse(plan.cluster).nodes
    # Nodes of one host are identical, so each worker's users form one progression.
    layout = layout_of(
        plan.placement, [workers] * nodes, [1] * nodes, ids, by_slots=plan.arrivals is not None
    )
    place = Placement(layout)
    places = []
    for worker in range(place.workers):
        (mine,) = place.ids_of(ids.start, ids.stop - 1, worker) or [range(0)]
        name = f"node{worker // workers}/{worker}"
        places.append({"worker": name, **_range(mine), "step": mine.step})
    return {**_range(ids), "workers": places}


def _range(ids: range) -> dict[str, object]:
    first, last = (ids[0], ids[-1]) if ids else (None, None)
    return {"count": len(ids), "first": first, "last": last}


def _start_rate(plan: RunPlan, host: Host) -> tuple[float | Stages, str]:
    """Return the number of users that may start per minute, and the source of that limit."""
    if USER_RATE in plan.rates:
        return parse_profile(plan.rates[USER_RATE], 60.0), f"--throttle {USER_RATE}"
    sources = {one["name"]: one["from"] for one in host.settings}
    return first_rate(plan.own_starts, sources, host.interarrival_ms, host.user_rate)


def _starts(plan: RunPlan, host: Host) -> dict[str, object]:
    """Return when users start, as far as the start rate and the stages determine it."""
    rate, source = _start_rate(plan, host)
    first_s = last_s = None
    too_late = 0
    if plan.stages is not None:
        first_s, last_s = _starts_by_stages(plan.users, plan.stages)
    elif plan.users and not isinstance(rate, Stages) and rate > 0:
        count = len(plan.users)
        first_s, last_s = 0.0, (count - 1) / rate * 60
        if plan.duration_s is not None and last_s > plan.duration_s:
            too_late = max(0, count - floor(plan.duration_s * rate / 60) - 1)
    return {
        "per_minute": str(rate) if isinstance(rate, Stages) else _number(rate),
        "from": source,
        "first_s": first_s,
        "last_s": None if last_s is None else _number(last_s),
        "too_late": too_late,
    }


def _starts_by_stages(users: range, stages: Stages) -> tuple[float | None, float | None]:
    rises = [leg for leg in stages.legs() if floor(leg.target) > floor(leg.before)]
    first_ns = 0 if users else stages.due_ns(1)
    last_ns = first_ns
    if rises:
        # If stages drop from a target at the moment it is reached, its last user does not start.
        last, begin_ns = floor(rises[-1].target), rises[-1].begin_ns
        last_ns = stages.due_ns(last, begin_ns) or stages.due_ns(last - 1, begin_ns)
    return _seconds(first_ns), _seconds(last_ns)


def _arrivals(plan: RunPlan) -> dict[str, object] | None:
    if (one := plan.arrivals) is None:
        return None
    until_s = plan.duration_s
    return {
        "rate": one.text,
        "max_users": one.max_users,
        "iterations": None if until_s is None else round(one.count_until(until_s)),
    }


def _seconds(t_ns: int | None) -> float | None:
    return None if t_ns is None else t_ns / S_NS


def _number(value: float) -> float | str:
    """Return `value` in a form that JSON supports."""
    return "inf" if value == inf else round(value, 9)


def _stage(leg: Leg) -> dict[str, object]:
    before, target = floor(leg.before), floor(leg.target)
    length_s = leg.length_ns / S_NS
    return {
        **_span(leg),
        "before": before,
        "target": target,
        "started": max(0, target - before),
        "removed": max(0, before - target),
        "per_s": round(abs(target - before) / length_s, 3) if length_s else None,
    }


def _span(leg: Leg) -> dict[str, object]:
    return {"from_s": leg.begin_ns / S_NS, "to_s": leg.end_ns / S_NS}


def _throttle(name: str, text: str) -> dict[str, object]:
    """Describe a throttle's rate. Its interval is not known yet, so a minute is assumed."""
    profile = parse_profile(text, 60.0)
    legs = []
    if isinstance(profile, Stages):
        legs = [
            {**_span(leg), "before": float(leg.before), "target": float(leg.target)}
            for leg in profile.legs()
        ]
    return {"name": name, "text": text, "per_minute": legs}


def _has_bare_number(text: str) -> bool:
    """Return whether a rate has a number without a unit, other than 0."""
    numbers = [part.rpartition(":")[2].strip() for part in text.split(",")]
    return any("/" not in number and number.strip("0.") for number in numbers)


def _descriptors(plan: RunPlan, host: Host) -> dict[str, object]:
    most = plan.most_users
    needed = -(-most // host.workers) * host.fds_per_user + RESERVED_FDS
    return {
        "per_user": host.fds_per_user,
        "users_at_once": most,
        "needed_per_worker": needed,
        "limit": host.fd_limit,
        "enough": needed <= host.fd_limit or not host.fds_per_user,
    }


def _end(plan: RunPlan, host: Host) -> dict[str, object]:
    stop = f"users then have {plan.stop_timeout_s:g} s to finish"
    if plan.duration_s is not None:
        by_stages = plan.duration_s in (
            plan.stages and plan.stages.total_s,
            plan.arrivals and plan.arrivals.total_s,
        )
        why = "the last stage is over" if by_stages else "--duration is over"
        return {"at_s": plan.duration_s, "why": why, "then": stop}
    if host.repeat_num == inf or plan.arrivals is not None:
        why = "it is stopped: there is no --duration, and users repeat forever"
    else:
        why = (
            f"all users have finished: {host.repeat_num:g} iterations each,"
            f" {host.repeat_interval_s:g} s apart"
        )
    return {"at_s": None, "why": why, "then": stop}


def _open(plan: RunPlan, host: Host) -> list[str]:
    """Return what cannot be known before the run."""
    found = ["how long an iteration takes"]
    if host.has_init:
        found.append(
            "throttles and coordinators that init() or users start, and their rates"
            + (" (--throttle overrides those of the same name)" if plan.rates else "")
        )
    found += [
        f"the interval of throttle {name}, for its rates without a unit: assumed to be 60 s"
        for name, text in sorted(plan.rates.items())
        if name != USER_RATE and _has_bare_number(text)
    ]
    if plan.stages is None:
        if plan.duration_s is None:
            found.append("when the run ends")
    else:
        found.append("which users stop when stages ramp down, and which have finished by then")
        rate, source = _start_rate(plan, host)
        fast = [
            f"stage {number}"
            for number, leg in enumerate(plan.stages.legs(), 1)
            if not isinstance(rate, Stages) and _per_minute(leg) > rate
        ]
        if fast:
            found.append(
                f"how late users start: {', '.join(fast)} would start more than the"
                f" {rate:g}/min that {source} allows"
            )
    return found


def _per_minute(leg: Leg) -> float:
    length_s = leg.length_ns / S_NS
    rise = float(leg.target - leg.before)
    return rise / length_s * 60 if length_s else rise * inf if rise else 0.0
