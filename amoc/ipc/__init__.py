"""What crosses a process boundary: messages, their codec, the bus, pipes, calls and outboxes."""
