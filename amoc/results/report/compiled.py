"""Templates compiled once: to compile them takes longer than to fill them in.

They are kept where amoc keeps what it can make again. Where nothing can be written, or what is
there cannot be read, each process compiles its own.
"""

from __future__ import annotations

import pickle
from contextlib import suppress
from pathlib import Path

import jinja2
from jinja2.bccache import Bucket, BytecodeCache

from amoc.base import atomic_write, user_cache
from amoc.base.errors import ResourceError


class CompiledTemplates(BytecodeCache):
    """Those of this version of Jinja; one whose source has changed is compiled again."""

    def load_bytecode(self, bucket: Bucket) -> None:
        """Take what is kept, if it was made of this source by this Python."""
        with suppress(OSError, ResourceError, EOFError, ValueError, pickle.UnpicklingError):
            bucket.bytecode_from_string((_directory() / bucket.key).read_bytes())

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Keep what was compiled."""
        with suppress(OSError, ResourceError):
            _directory().mkdir(mode=0o700, parents=True, exist_ok=True)
            atomic_write.write_bytes(_directory() / bucket.key, bucket.bytecode_to_string())


def _directory() -> Path:
    return user_cache.directory("templates") / jinja2.__version__
