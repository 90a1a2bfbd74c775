"""The sidecar of an artifact: what it is, what it was made from, and the sha256 and size of every file."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, TypeAlias, TypedDict

from robustdd.errors import CorruptArtifact

JSON: TypeAlias = "bool | int | float | str | Sequence[JSON] | Mapping[str, JSON] | None"

SCHEMA = 1
"""Version of the manifest's layout."""
SUFFIX = ".manifest.json"
JOURNAL = ".pending"
LIMIT = 16 * 2**20
"""Bytes above which a manifest is not read at all."""
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,60}")
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,120}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class FileFacts(TypedDict):
    """Digest and size in bytes of one file."""

    sha256: str
    size: int


@dataclass(frozen=True)
class Manifest:
    """What the key determines and nothing else (no time, no machine), so that two equal runs give equal bytes.

    `params`, `notes`: JSON without nan and inf; `notes` tells facts of the result, such as a realised rate.
    `inputs`: sha256 by path; `code`: sha256; `files`: sha256 and size by name. Raises ValueError for anything else.
    """

    task: str
    name: str
    key: str
    params: Mapping[str, JSON]
    inputs: Mapping[str, str]
    code: str
    files: Mapping[str, FileFacts] = field(default_factory=dict)
    notes: Mapping[str, JSON] = field(default_factory=dict)
    schema: int = SCHEMA

    def __post_init__(self) -> None:
        texts = (self.task, self.key)
        _require(all(isinstance(text, str) and text for text in texts), "task and key must be texts, not empty")
        _require(_fits(_NAME, self.name), f"name {self.name!r} must match {_NAME.pattern}")
        _require(_fits(_SHA256, self.code), "code must be a sha256")
        for part in (self.params, self.inputs, self.files, self.notes):
            _require(isinstance(part, Mapping), "params, inputs, files and notes must be mappings")
        _require(all(_fits(_SHA256, digest) for digest in self.inputs.values()), "inputs must be sha256 by path")
        for name, facts in self.files.items():
            _require(is_file_name(name), f"file name {name!r} is not allowed")
            _require(set(facts) == {"sha256", "size"}, f"{name} must have sha256 and size")
            _require(type(facts["size"]) is int and facts["size"] >= 0, f"size of {name} must be a count of bytes")
            _require(_fits(_SHA256, facts["sha256"]), f"sha256 of {name} is none")
        _require(self.schema == SCHEMA and type(self.schema) is int, f"schema {self.schema!r} is not {SCHEMA}")

    def to_bytes(self) -> bytes:
        """Canonical JSON with a `seal`, the sha256 of the rest: a slip of the disk in the notes must not go unseen."""
        return sealed({item.name: getattr(self, item.name) for item in fields(self)})

    @classmethod
    def parse(cls, data: bytes, source: str = "manifest") -> Manifest:
        """Read canonical bytes; `source` names them in the message. Raises CorruptArtifact for anything else."""
        try:
            plain = parse_canonical(data)
            plain.pop("seal", None)
            _require(sealed(plain) == data, "its seal does not fit")
            return cls(**plain)
        except (ValueError, TypeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise CorruptArtifact(
                f"{source}: not a manifest of this version ({reason}); delete it and run again"
            ) from error


def canonical(plain: Mapping[str, Any]) -> bytes:
    """The one way to write a JSON object: sorted keys, ASCII, newline at the end.

    Raises ValueError for nan, inf and more than 16 MB, TypeError for what JSON does not know.
    """
    text = json.dumps(_plain(plain), sort_keys=True, indent=2, ensure_ascii=True, allow_nan=False)
    if len(text) >= LIMIT:
        raise ValueError(f"{len(text)} characters are too many to be read again")
    return (text + "\n").encode("ascii")


def sealed(plain: Mapping[str, Any]) -> bytes:
    """Canonical bytes with the sha256 of `plain` added as `seal`; no signature: whoever may write may seal."""
    return canonical({**plain, "seal": hashlib.sha256(canonical(plain)).hexdigest()})


def parse_canonical(data: bytes) -> dict[str, Any]:
    """Read what `canonical` wrote, at most 16 MB. Raises ValueError for anything else, be it only spaced otherwise."""
    if len(data) > LIMIT:
        raise ValueError(f"{len(data)} bytes are too many")
    try:
        plain = json.loads(data.decode("ascii"))
        same = isinstance(plain, dict) and canonical(plain) == data
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not same:
        raise ValueError("not written by this program")
    return dict(plain)


def is_name(text: object) -> bool:
    """Whether `text` can name an artifact."""
    return _fits(_NAME, text)


def is_file_name(text: object) -> bool:
    """Whether `text` can name a file of an artifact: no separator, not hidden, no sidecar's or journal's name."""
    return _fits(_FILE, text) and not str(text).endswith((SUFFIX, JOURNAL))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise TypeError("keys must be texts")
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value} cannot be kept")
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"{type(value).__name__} cannot be kept in JSON")


def _fits(pattern: re.Pattern[str], text: object) -> bool:
    return isinstance(text, str) and pattern.fullmatch(text) is not None


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)
