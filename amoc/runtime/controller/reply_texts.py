"""Workers' replies to orders, as text for people and for answers."""

from __future__ import annotations

from collections.abc import Mapping

from amoc.base.text import counted
from amoc.control.answers import WorkerAnswer, WorkerUsers
from amoc.ipc.messages.orders import Done, UserCounts, UsersRemoved
from amoc.ipc.worker_id import WorkerId
from amoc.runtime.controller.orders import Reply
from amoc.users.removal import Removal


def worker_users(origin: WorkerId, reply: Reply) -> WorkerUsers:
    """Return the numbers of users of a worker."""
    if not isinstance(reply.answer, UserCounts):
        return WorkerUsers(str(origin), reply.error)
    alive, queued = reply.answer.alive, reply.answer.queued
    return WorkerUsers(str(origin), f"{counted(alive, 'user')}, {queued:,} pending", alive, queued)


def highest_id(reply: Reply) -> int:
    """Return the highest id that a worker has reported; 0 if it has reported none."""
    return reply.answer.highest_id if isinstance(reply.answer, UserCounts) else 0


def removal(reply: Reply) -> Removal:
    """Return what a worker has removed; nothing if it has not answered."""
    return Removal(*reply.answer[1:]) if isinstance(reply.answer, UsersRemoved) else Removal()


def texts(replies: Mapping[WorkerId, Reply]) -> list[WorkerAnswer]:
    """Return what each worker has done, or why it has not."""
    return [
        WorkerAnswer(
            str(origin), reply.answer.text if isinstance(reply.answer, Done) else reply.error
        )
        for origin, reply in replies.items()
    ]
