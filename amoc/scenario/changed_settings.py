"""Raw values of settings that were changed during a run, on all nodes or on some. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping

ALL = ""
"""Stands for the nodes that no name is given for."""


class ChangedSettings:
    """What each setting was last changed to: on all nodes, or on those with a name."""

    def __init__(
        self, values: Mapping[str, object] | None = None, on_nodes: Collection[str] = ()
    ) -> None:
        """Begin with one change; see `change`."""
        self._latest: dict[tuple[str, str], object] = {}
        self.change(values or {}, on_nodes)

    def change(self, values: Mapping[str, object], on_nodes: Collection[str] = ()) -> None:
        """Take a change.

        Args:
            values: The new values, by setting.
            on_nodes: The names of the only nodes that have them, or of their hosts; empty means
                that all have them, also those that had values of their own before.
        """
        for setting, value in values.items():
            earlier = on_nodes or [on for name, on in self._latest if name == setting]
            for on in earlier:
                self._latest.pop((setting, on), None)
            # The latest comes last, for a node may be called by its name and by its host.
            self._latest.update({(setting, on): value for on in on_nodes or (ALL,)})

    def update(self, later: ChangedSettings) -> None:
        """Take changes that came after these."""
        for (setting, on), value in later._latest.items():
            self.change({setting: value}, [on] if on else ())

    @property
    def names(self) -> set[str]:
        """The settings that were changed."""
        return {setting for setting, _ in self._latest}

    def values(self, node: Collection[str] = ()) -> dict[str, object]:
        """The values on a node that has these names, by setting; on one without a name: of all."""
        return {
            setting: value
            for (setting, on), value in self._latest.items()
            if on == ALL or on in node
        }

    def apart(self, setting: str) -> dict[str, object]:
        """The values of a setting that only some nodes have, by the name that was given."""
        return {on: value for (name, on), value in self._latest.items() if name == setting and on}
