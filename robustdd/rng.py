"""Named randomness: every stream has a name, none is global, and a new name disturbs no other."""

from __future__ import annotations

import hashlib

import torch


def seed_of(*name: str | int) -> int:
    """Seed of the stream `name`: 63 bits of a hash, so that it depends on the name alone."""
    text = "/".join(f"{type(part).__name__}:{part}" for part in name)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(*name: str | int) -> torch.Generator:
    """CPU generator of the stream `name`: what is drawn on the CPU means the same on every device.

    torch's CPU generator takes 32 bits of a seed, so that two names out of n share a stream with a chance of about
    n² / 2^33: one in 800 for 3,000 names, three in ten for the 50,000 of a row at the paper's scale.
    """
    return torch.Generator(device="cpu").manual_seed(seed_of(*name))
