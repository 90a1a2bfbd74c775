"""Wrong labels on purpose, or by the hand of people: transition matrices, draws from them, and human labels."""

from __future__ import annotations

from robustdd.noise.draws import corrupt, counted_matrix, realised_rate
from robustdd.noise.matrices import transition_matrix
from robustdd.noise.observed import Observed, observe

__all__ = ["Observed", "corrupt", "counted_matrix", "observe", "realised_rate", "transition_matrix"]
