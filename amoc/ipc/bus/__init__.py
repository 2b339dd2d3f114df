"""The bus: commands go down by PUB/SUB, reports go up by PUSH/PULL, and nothing is lost silently.

The parent (`parent`) binds both sockets, its children (`child`) connect. Each child has its own
topic, which ends in a dot so that ``w3.`` does not match ``w30.``.

Down: the commands of a topic are numbered. The child accepts them only in order, drops duplicates,
and acknowledges the highest number with its next message. The parent keeps unacknowledged commands
and publishes them again, so a command dropped by a full queue arrives late but in order; the child
also reports the gap. A child with too many unacknowledged commands counts as broken, which the
parent reports to its caller.

Up: reports are batched for a few milliseconds (19 µs for a single event, 0.8 µs each for a
hundred). An urgent report is sent at the loop's next turn, with all that are queued. A full queue
makes the child wait: reports are few, since metrics are on the shared board.

A stalled parent does not fill its child's memory: beyond some bytes, or after some seconds, the
child is *crowded*. It then drops, and counts, reports that are merely informative. Callers that can
wait or do without should check first (`Child.room`, `Child.crowded`). A child that is itself a
parent makes its own children hold back, too (`Parent.hold`): messages to be forwarded stay at their
source, in users that wait. Mail, hellos and the like continue.

PUB drops messages for late subscribers, so a child sends hellos until it receives a welcome. The
parent's caller sees a single hello, once the welcome is acknowledged.

Between hosts (`place`) both ends use CURVE over TCP. The parent is given a child's key in advance;
it admits no other keys, and accepts a report only if its connection has the key of the child it
names. A name is valid for one life of a child: once it is forgotten, late messages from it are
dropped. Refusals are counted (`gate`, `refusals`).

Sockets are plain ZeroMQ sockets, watched through their descriptor, with one greenlet each.

Each end has two `Codec`s, for the messages in either direction. Messages that cannot be decoded
never end a loop silently: the parent yields a `Note` about them; the child, which must not miss a
command, raises.
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
