"""One Beam coder for every element type that packs itself: ``to_bytes`` and ``from_bytes``."""

from __future__ import annotations

from typing import Any, Protocol, Self

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
