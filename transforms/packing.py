"""One Beam coder for every element type that packs itself: ``to_bytes`` and ``from_bytes``."""

from __future__ import annotations

from typing import Any, Protocol, Self, runtime_checkable

import apache_beam as beam


class Packed(Protocol):
    """An element that knows its own bytes."""

    def to_bytes(self) -> bytes:
        """Pack."""
        ...

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Unpack what ``to_bytes`` packed."""
        ...


@runtime_checkable
class Weighed(Protocol):
    """An element that knows about how many bytes it packs to: of large elements, of which few are ever packed."""

    def packed_size(self) -> int:
        """Return about how many bytes ``to_bytes`` has."""
        ...


class PackedCoder(beam.coders.Coder):
    """Beam's coder of one such type.

    Args:
        packed: the type.
    """

    def __init__(self, packed: type[Packed]) -> None:
        self._packed = packed

    def encode(self, value: Packed) -> bytes:
        """Pack one element."""
        return value.to_bytes()

    def decode(self, encoded: bytes) -> Packed:
        """Unpack one element."""
        return self._packed.from_bytes(encoded)

    def estimate_size(self, value: Packed) -> int:
        """Return about how many bytes an element has. Beam asks at many an element, for its metrics alone."""
        return value.packed_size() if isinstance(value, Weighed) else len(value.to_bytes())

    def is_deterministic(self) -> bool:
        """Equal batches may list their keywords in another order, so none of these can be a key."""
        return False

    def to_type_hint(self) -> type[Packed]:
        """Name the type that is coded."""
        return self._packed

    @classmethod
    def from_type_hint(cls, typehint: type[Packed], registry: Any) -> Self:  # noqa: ARG003 - Beam's signature
        """Make the coder of a registered type."""
        return cls(typehint)


def register(packed: type[Packed]) -> None:
    """Have Beam code every element of this type by its own bytes."""
    beam.coders.registry.register_coder(packed, PackedCoder)
