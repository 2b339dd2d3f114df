"""Raw values of settings changed during a run, on all nodes or on some. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping

ALL = ""
"""Stands for all nodes, if no name is given."""


class ChangedSettings:
    """The latest value of each changed setting, on all nodes or on named ones."""

    def __init__(
        self, values: Mapping[str, object] | None = None, on_nodes: Collection[str] = ()
    ) -> None:
        """Start with one change; see `change`."""
        self._latest: dict[tuple[str, str], object] = {}
        self.change(values or {}, on_nodes)

    def change(self, values: Mapping[str, object], on_nodes: Collection[str] = ()) -> None:
        """Record a change.

        Args:
            values: The new values by setting.
            on_nodes: The names or hosts of the only nodes that get them. Empty means all nodes,
                including those that had their own values before.
        """
        for setting, value in values.items():
            earlier = on_nodes or [on for name, on in self._latest if name == setting]
            for on in earlier:
                self._latest.pop((setting, on), None)
            # The latest comes last and wins, since a node may be given by name and by host.
            self._latest.update({(setting, on): value for on in on_nodes or (ALL,)})

    def update(self, later: ChangedSettings) -> None:
        """Add changes made after these."""
        for (setting, on), value in later._latest.items():
            self.change({setting: value}, [on] if on else ())

    @property
    def names(self) -> set[str]:
        """The changed settings."""
        return {setting for setting, _ in self._latest}

    def values(self, node: Collection[str] = ()) -> dict[str, object]:
        """Return the values on a node with these names, by setting; without names, those of all."""
        return {
            setting: value
            for (setting, on), value in self._latest.items()
            if on == ALL or on in node
        }

    def apart(self, setting: str) -> dict[str, object]:
        """Return the values of a setting on individual nodes, by the name given."""
        return {on: value for (name, on), value in self._latest.items() if name == setting and on}
