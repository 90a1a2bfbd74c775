"""Wrong labels on purpose, or by the hand of people: transition matrices, draws from them, and human labels."""

from __future__ import annotations

from robustdd.noise.draws import corrupt, realised_rate
from robustdd.noise.matrices import transition_matrix
from robustdd.noise.observed import Observed, observe

__all__ = ["Observed", "corrupt", "observe", "realised_rate", "transition_matrix"]
