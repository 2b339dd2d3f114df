"""Control of a running run: the words of commands, the socket that takes them, its client."""
