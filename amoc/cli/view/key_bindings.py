"""Keys: bytes from a terminal become commands for the run. Pure.

Single keys do what is wanted often; ``:`` (or Enter) opens a line in which a command is typed as in
`amoc.control.commands`. Bytes may come in any pieces: a key that takes several of them is put
together, and an Escape that nothing follows is told by calling `Keys.pause`.
"""

from __future__ import annotations

import codecs
from typing import NamedTuple

from amoc.base.errors import UsageError
from amoc.control.commands import COMMANDS, Command, parse

HINT = "p pause/resume   + - users   s status   q stop   : command   ? help"
HELP = (
    "p pauses the run, or lets it go on",
    "+ and - add and remove a tenth of the users, at least one",
    "s shows how the run is",
    "q stops the run: users finish, then the summary is printed",
    ": or Enter opens a line for a command; Enter gives it, Esc takes it back, up shows others",
    "commands: " + ", ".join(kind.usage for kind in COMMANDS.values()),
    "what follows -- or # is kept in the journal as a comment",
)
MAX_TYPED = 2_000
MAX_HISTORY = 100
MAX_SEQUENCE = 32


class Toggle(NamedTuple):
    """Pause, or go on."""


class Step(NamedTuple):
    """Add (1) or remove (-1) a tenth of the users."""

    direction: int


class Help(NamedTuple):
    """Say what the keys are."""


class Refused(NamedTuple):
    """What was typed is no command."""

    why: str


Action = Command | Toggle | Step | Help | Refused

_KEYS: dict[str, Action] = {
    "p": Toggle(),
    "+": Step(1),
    "=": Step(1),  # the same key without shift
    "-": Step(-1),
    "s": Command("status", {}),
    "q": Command("stop", {}),
    "?": Help(),
    "h": Help(),
}
_UP, _DOWN = ("[A", "OA"), ("[B", "OB")
_ESCAPE = "\x1b"
_ENTER = "\r\n"
_BACKSPACE = "\x7f\b"
_CTRL_D, _CTRL_U, _CTRL_W = "\x04", "\x15", "\x17"


def tenth(users: int) -> int:
    """A tenth of the users, at least one."""
    return max(1, round(users / 10))


class Keys:
    """What has been typed, and what it means.

    Attributes:
        typed: The line that is being typed; None while single keys are taken.
    """

    def __init__(self) -> None:
        self.typed: str | None = None
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="ignore")
        self._sequence: str | None = None
        self._history: list[str] = []
        self._at = 0
        self._draft = ""

    def feed(self, data: bytes) -> list[Action]:
        """Take bytes; what they ask for."""
        actions: list[Action] = []
        for character in self._decoder.decode(data):
            action = self._take(character)
            if action is not None:
                actions.append(action)
        return actions

    def pause(self) -> None:
        """Nothing has come for a moment: an Escape was the key, not the beginning of another."""
        if self._sequence == "":
            self._close()
        self._sequence = None

    @property
    def unfinished(self) -> bool:
        """Whether `pause` has something to tell."""
        return self._sequence is not None

    def _take(self, character: str) -> Action | None:
        if self._sequence is not None:
            self._continue(character)
        elif character == _ESCAPE:
            self._sequence = ""
        elif self.typed is None:
            if character == ":" or character in _ENTER:
                self._open()
            else:
                return _KEYS.get(character)
        else:
            return self._edit(self.typed, character)
        return None

    def _continue(self, character: str) -> None:
        """One more character of a key that begins with Escape."""
        assert self._sequence is not None
        if character == _ESCAPE:  # the one before was a key of its own
            self.pause()
            self._sequence = ""
            return
        self._sequence += character
        if self._sequence in ("[", "O"):
            return
        # A sequence of CSI goes on through digits and signs and ends with a letter or a tilde.
        inside = self._sequence[0] == "[" and " " <= character < "@"
        if inside and len(self._sequence) < MAX_SEQUENCE:
            return
        sequence, self._sequence = self._sequence, None
        if sequence in _UP:
            self._recall(-1)
        elif sequence in _DOWN:
            self._recall(1)

    def _open(self) -> None:
        self.typed, self._draft, self._at = "", "", len(self._history)

    def _close(self) -> None:
        self.typed = None

    def _recall(self, step: int) -> None:
        """Bring back an earlier line, or a later one."""
        if self.typed is None:
            return
        if self._at == len(self._history):
            self._draft = self.typed
        self._at = min(max(self._at + step, 0), len(self._history))
        self.typed = (*self._history, self._draft)[self._at]

    def _edit(self, typed: str, character: str) -> Action | None:
        if character in _ENTER:
            return self._submit(typed)
        if character in _BACKSPACE:
            self.typed = typed[:-1]
        elif character == _CTRL_U:
            self.typed = ""
        elif character == _CTRL_W:
            self.typed = " ".join(typed.split(" ")[:-1]) if typed.strip() else ""
        elif character == _CTRL_D:
            if not typed:
                self._close()
        elif character.isprintable() and len(typed) < MAX_TYPED:
            self.typed = typed + character
        return None

    def _submit(self, typed: str) -> Action | None:
        text = typed.strip().removeprefix(":").strip()
        if not text:
            self._close()
            return None
        if self._history[-1:] != [text]:
            self._history = [*self._history, text][-MAX_HISTORY:]
        if text in ("help", "?"):
            self._close()
            return Help()
        self._close()
        try:
            return parse(text)
        except UsageError as error:
            return Refused(f"{error} (: and up bring the line back)")
