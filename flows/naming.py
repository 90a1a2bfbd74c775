"""What one stage of one id is to those who run it: its names in the UI, and where its files lie."""

from __future__ import annotations

from dataclasses import dataclass

from robustdd.params import Study
from robustdd.study import graph
from tasks.cache.layout import Layout


@dataclass(frozen=True)
class About:
    """One stage of one id: what it is about in words, its tags, and where its files lie."""

    stage: str
    ident: str
    words: str
    tags: tuple[str, ...]
    layout: Layout

    @property
    def title(self) -> str:
        """Name of the flow run."""
        return f"{self.stage} {self.ident}" + (f": {self.words}" if self.words else "")

    def unit_title(self, unit: str) -> str:
        """Name of the task run of a unit."""
        return f"{unit}: {self.words or self.ident}"


def about(study: Study, stage: str, ident: str, layout: Layout) -> About:
    """Name and tags of a stage whose id the study knows."""
    return About(stage, ident, graph.words(study, (stage, ident)), graph.tags(study, (stage, ident)), layout)
