"""What a checkpoint shares with the artifact that it leads to: told in parts, so that the one that differs is named."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any


def bound_to(params: Mapping[str, Any], inputs: Mapping[str, str], code: str) -> dict[str, str]:
    """Every value of `params` by its dotted name, and short digests of inputs and code; the machine apart."""
    digests = hashlib.sha256(json.dumps(dict(inputs), sort_keys=True).encode()).hexdigest()
    return {**dict(_leaves("params", params)), "inputs": digests[:12], "code": code[:12]}


def _leaves(name: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, one in value.items():
            yield from _leaves(f"{name}.{key}", one)
    else:
        yield name, json.dumps(value, sort_keys=True)
