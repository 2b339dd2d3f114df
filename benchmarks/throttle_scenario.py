"""Users that pass throttles as fast as possible, and record each used slot."""

import json
import os
import time
from array import array
from pathlib import Path

import gevent

from amoc import setting, throttle
from amoc.throttle import worker as gates

rate = setting(1000.0, "Slots per second of each throttle")
names = setting(1, "Number of throttles")
directory = setting("", "Where to write the record", type=str)
warm_up = setting(2.0, "Seconds from the first user of a worker to the window")
window = setting(10.0, "Seconds that are recorded")
change = setting("", "What to do in the middle of the window: pause, or a rate", type=str)

fields = array("q")
noting: list[gevent.Greenlet] = []


def init():
    for number in range(names.get()):
        throttle.start(f"t{number}", rate.get(), 1)


def note(name, epoch, slot, due_ns, used_ns):
    fields.extend((int(name[1:]), epoch, slot, due_ns, used_ns))


def note_window():
    gevent.sleep(warm_up.get())
    gates.current().record_slots(note)
    begin = (time.monotonic_ns(), time.process_time_ns(), 0)
    (Path(directory.get()) / f"begin-{os.getpid()}").touch()
    gevent.sleep(window.get())
    end = (time.monotonic_ns(), time.process_time_ns(), len(fields) // 5)
    gates.current().record_slots(None)
    path = Path(directory.get())
    (path / f"end-{os.getpid()}").touch()
    gevent.sleep(1.0)  # or writing would be part of the figures
    (path / f"{os.getpid()}.slots").write_bytes(fields.tobytes())
    (path / f"{os.getpid()}.json").write_text(json.dumps({"begin": begin, "end": end}))


def change_it():
    gevent.sleep(warm_up.get() + window.get() / 2)
    asked_ns = time.monotonic_ns()
    if change.get() == "pause":
        throttle.pause("t0")
    else:
        throttle.change_rate("t0", float(change.get()), 1)
    (Path(directory.get()) / "asked").write_text(str(asked_ns))


def start(user_id):
    if not noting:
        noting.append(gevent.spawn(note_window))
    if user_id == 1 and change.get():
        noting.append(gevent.spawn(change_it))
    name = f"t{user_id % names.get()}"
    while True:
        throttle.wait(name)
