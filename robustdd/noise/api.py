"""Wrong labels on purpose, or by the hand of people: transition matrices, draws from them, and human labels."""

from __future__ import annotations

from robustdd.noise.corrupt import corrupt, counted_matrix, realised_rate
from robustdd.noise.observe import Observed, observe
from robustdd.noise.transition import transition_matrix

__all__ = ["Observed", "corrupt", "counted_matrix", "observe", "realised_rate", "transition_matrix"]
