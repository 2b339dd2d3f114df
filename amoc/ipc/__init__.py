"""Inter-process communication: messages, their codec, the bus, pipes, RPC calls and outboxes."""
