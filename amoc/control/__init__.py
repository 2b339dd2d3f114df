"""Control of a run: the table of commands, their answers, the control socket and its client."""
