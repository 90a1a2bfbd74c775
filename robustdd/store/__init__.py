"""Bytes on disk: artifacts with their manifests, checkpoints, locks, and where each of them lies."""
