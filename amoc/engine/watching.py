"""Watches a node's board: samples it once a second, sees peaks, speaks of silent workers."""

from __future__ import annotations

from collections.abc import Callable

import gevent

from amoc import logs
from amoc.board import Board, Cell
from amoc.engine.sampling import Host, Sampler
from amoc.engine.slots import Slots
from amoc.lines import counted
from amoc.messages import Note, Record
from amoc.timing import S_NS, now_ns

SAMPLE_S = 1.0
PEAK_S = 0.05
"""How often the number of users alive is looked at, to know the most there were at once."""
SILENT_NS = 5 * S_NS
"""A worker whose loop has not turned for so long is spoken of."""


class Watch:
    """Reports what a board says."""

    def __init__(
        self,
        board: Board,
        slots: Slots,
        report: Callable[[Record], None],
        host: Host,
        fd_limit: int,
    ) -> None:
        """Watch a board.

        Args:
            board: The node's.
            slots: What the node knows of its workers.
            report: Takes samples and notes, and never waits.
            host: Where all of this runs.
            fd_limit: How many descriptors a worker may have open.
        """
        self._board = board
        self._sampler = Sampler(board, host, fd_limit)
        self._slots = slots
        self._report = report
        self._users_peak = 0

    def sample_each_second(self) -> None:
        """Report a sample each second; to be a greenlet of its own."""
        due_ns = now_ns()
        while True:
            self.report_sample()
            self._speak_of_silence()
            self._speak_of_mail()
            logs.tick()
            due_ns += int(SAMPLE_S * S_NS)
            gevent.sleep(max(0, due_ns - now_ns()) / S_NS)

    def report_sample(self) -> None:
        """Report what the board says now."""
        self._note_peak()
        self._report(self._sampler.take(self._slots.ids, self._users_peak))

    def acknowledge(self, sequence: int) -> None:
        """The controller has sample `sequence`."""
        self._sampler.acknowledge(sequence)

    def see_peaks(self) -> None:
        """Note how many users there are at once; to be a greenlet of its own."""
        while True:
            self._note_peak()
            gevent.sleep(PEAK_S)

    def _note_peak(self) -> None:
        rows = [self._board.row(slot) for slot in range(self._board.slots)]
        # Between two looks users may come and go; each worker knows its own peak exactly.
        busiest = max(row[Cell.USERS_PEAK] for row in rows)
        self._users_peak = max(self._users_peak, busiest, sum(row[Cell.USERS] for row in rows))

    def _speak_of_silence(self) -> None:
        for slot in self._slots:
            row = self._board.row(slot.number)
            silent = slot.up and now_ns() - row[Cell.HEARTBEAT_NS] > SILENT_NS
            if silent and not slot.silent:
                self._report(
                    Note(
                        "warning",
                        f"worker {slot.number} has not turned its loop for {SILENT_NS // S_NS} s:"
                        " a user blocks it, or the machine is overloaded",
                    )
                )
            slot.silent = silent

    def _speak_of_mail(self) -> None:
        for slot in self._slots:
            if slot.mail_dropped:
                dropped, slot.mail_dropped = slot.mail_dropped, 0
                self._report(
                    Note(
                        "warning",
                        f"{counted(dropped, 'parcel')} of mail to worker {slot.number} dropped:"
                        " it is gone, or does not read what came before",
                    )
                )
