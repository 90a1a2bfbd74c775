"""Which device computes."""

from __future__ import annotations

import platform
from functools import cache
from pathlib import Path

import torch

from robustdd.errors import UserError


def settled(device: str) -> str:
    """Kind of device, cpu or cuda, that params.yaml asks for: `auto` is what this machine has, and in a key as that."""
    return resolve(device).type if device == "auto" else device


def resolve(device: str) -> torch.device:
    """The device that params.yaml's `device` means here; UserError when CUDA is asked for and absent."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("device: params.yaml asks for 'cuda' and no GPU is here; use 'cpu' or 'auto'")
    return torch.device(device)


@cache
def device_model(device: torch.device) -> str:
    """Name of the processor behind `device`, for provenance and for binding checkpoints."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
