"""The bus: commands go down by PUB/SUB, reports go up by PUSH/PULL, and nothing is lost silently.

The parent (`parent`) binds both ends, its children (`child`) connect. Each child has a topic of its
own, ending in a dot so that ``w3.`` does not hear ``w30.``.

Down: each command carries the topic's next number. The child takes commands in order only, drops
what it has had, and acknowledges the highest number with whatever it sends up. What is not
acknowledged is kept and published again, so a command that a full queue dropped arrives late and in
order instead of never; a gap is also reported by name. A child that leaves too much unacknowledged
is broken, and its parent is told so.

Up: reports gather for a few milliseconds and travel as one message (19 µs an event single, 0.8 µs
by the hundred); one that is urgent leaves at the loop's next turn, and takes with it what gathered.
A full queue makes the child wait: reports are few, metrics are on the board.

A parent that stands still does not fill its child's memory: from some bytes on, or after some
seconds, the child is *crowded*. Then it drops, and counts, reports that only inform; a caller
that can wait or leave something out is expected to ask (`Child.room`, `Child.crowded`). A child
that is a parent itself has its own children hold back too (`Parent.hold`): what would go through it
stays where it is made, in users that wait. Mail, hellos and the like go on.

PUB drops what a late subscriber missed, so a child says hello until it hears welcome; its parent
learns of it once, when the welcome is acknowledged.

Between hosts (`place`) both ends speak CURVE over TCP. A child has a key, which its parent is told
before it comes; the parent lets in nobody else, and takes a report only with the key of the child
that it is said to be of. A name is for one life of a child: once it is forgotten, what was still on
its way from there is dropped. What is refused is counted (`gate`, `refusals`).

Sockets are plain ZeroMQ ones, watched through their descriptor: one greenlet for each.

An end is given two `Codec`s, which say which messages go either way. What cannot be read is
named, and ends no loop silently: the parent yields a `Note` in its place; the child, which must not
miss a command, raises.
"""

from amoc.ipc.bus.child import Child
from amoc.ipc.bus.directory import new_directory
from amoc.ipc.bus.end import LINGER_MS
from amoc.ipc.bus.gate import Gate
from amoc.ipc.bus.keys import Keys, new_keys, shared_keys
from amoc.ipc.bus.parent import Parent, Received
from amoc.ipc.bus.place import Listen, Remote, endpoints

__all__ = [
    "LINGER_MS",
    "Child",
    "Gate",
    "Keys",
    "Listen",
    "Parent",
    "Received",
    "Remote",
    "endpoints",
    "new_directory",
    "new_keys",
    "shared_keys",
]
