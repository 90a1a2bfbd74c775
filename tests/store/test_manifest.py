"""Any bytes are a manifest, which writes them back, or one line: CorruptArtifact."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robustdd.errors import CorruptArtifact
from robustdd.store.artifacts import Manifest
from robustdd.store.manifest import sealed
from tests.store.test_artifacts import CODE

GOOD = Manifest("t", "labels", "k", {}, {}, CODE).to_bytes()


@settings(max_examples=2000, deadline=None)
@given(st.one_of(st.binary(max_size=300), st.binary(max_size=5).map(lambda data: GOOD[:40] + data + GOOD[40:])))
def test_any_bytes_are_a_manifest_or_corrupt(data: bytes) -> None:
    try:
        assert Manifest.parse(data).to_bytes() == data
    except CorruptArtifact as error:
        assert str(error).isprintable()


_LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
_JSON = st.recursive(_LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=6)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from(sorted(json.loads(GOOD))), _JSON, max_size=3))
def test_any_json_is_a_manifest_or_corrupt(change: dict[str, Any]) -> None:
    plain = {**json.loads(GOOD), **change}
    try:
        del plain["seal"]
        data = sealed(plain)
    except ValueError:
        return  # nan, inf: what cannot be written
    try:
        assert Manifest.parse(data).to_bytes() == data
    except CorruptArtifact as error:
        assert str(error).isprintable()


SCHEMA_2 = sealed({**json.loads(GOOD.replace(b'"seal"', b'"task"')), "task": "t", "schema": 2})


@pytest.mark.parametrize(
    "data",
    [b"[" * 100_000, b'{"a":' * 50_000, GOOD + GOOD, SCHEMA_2, b"9" * 5000, b" " * 17 * 2**20],
    ids=["deep", "deep object", "two", "schema 2", "long number", "17 MB"],
)
def test_hostile_manifests_are_corrupt(data: bytes) -> None:
    with pytest.raises(CorruptArtifact, match="not a manifest of this version"):
        Manifest.parse(data)
