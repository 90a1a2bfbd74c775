"""What may go wrong, by whose hand, and with which exit code a command line ends."""

from __future__ import annotations


class RobustddError(Exception):
    """A failure told to the user as one line: what is wrong, what was expected, what to do."""

    exit_code = 1


class UserError(RobustddError):
    """A mistake in what the user gave: params, ids, data, labels."""

    exit_code = 2


class CorruptArtifact(RobustddError):  # noqa: N818
    """A file whose bytes are not those that its manifest names."""


class Diverged(RobustddError):  # noqa: N818
    """A computation that left the finite numbers, or a learned rate that is not positive."""
