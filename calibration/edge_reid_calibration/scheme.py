"""How a device wants its 8 bits."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Activations = Literal["unsigned", "signed"]

Placement = Literal["all", "weighted"]


class Scheme(BaseModel):
    """What INT8 means to one engine on one kind of processor; each number is measured or follows from its rules."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    activations: Activations
    """unsigned: 0..255 with a zero point. signed: -127..127 around 0, no zero point."""
    weight_bits: Literal[7, 8] = 8
    """7 where products of two 8-bit numbers are added in 16 bits, which then overflow (x86 without VNNI)."""
    placement: Placement
    """all: every tensor that a quantised layer reads or makes. weighted: what convolutions read, and what a residual
    sum adds to one; the rest stays float."""
    scale_type: Literal["float32", "float16"] = "float32"
    """Type of the scales, which is that of the values around them."""
    keep_float: tuple[str, ...] = ()
    """Names (regular expressions) of nodes that stay float."""
    narrow: int = Field(default=0, ge=0)
    """Channels of the last convolution below which it stays float, too: so few numbers average no rounding out."""
