"""Compiled templates, cached because compiling them takes longer than rendering them.

They are kept in amoc's user cache. If that cannot be written or read, each process compiles its
own.
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
    """The cache for this version of Jinja; a template whose source has changed is recompiled."""

    def load_bytecode(self, bucket: Bucket) -> None:
        """Load a cached template, if it was compiled from this source by this Python."""
        with suppress(OSError, ResourceError, EOFError, ValueError, pickle.UnpicklingError):
            bucket.bytecode_from_string((_directory() / bucket.key).read_bytes())

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Cache what was compiled."""
        with suppress(OSError, ResourceError):
            _directory().mkdir(mode=0o700, parents=True, exist_ok=True)
            atomic_write.write_bytes(_directory() / bucket.key, bucket.bytecode_to_string())


def _directory() -> Path:
    return user_cache.directory("templates") / jinja2.__version__
