"""Where a network computes."""

from __future__ import annotations

import torch

from edge_reid.errors import UserError


def choose_device(name: str | None) -> torch.device:
    """The device called `name`; without a name CUDA where there is one, else the CPU.

    Raises:
        UserError: PyTorch does not know it, or it is not there.
    """
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(
            f"device {name}: this PyTorch ({torch.__version__}) cannot use it; choose cpu, or install a build and a "
            "driver for it"
        ) from error
    return device
