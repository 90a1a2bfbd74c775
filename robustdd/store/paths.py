"""Where a study's files lie."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Place:
    """Where one stage of one id leaves its artifact."""

    layout: Layout
    stage: str
    ident: str

    @property
    def folder(self) -> Path:
        """Folder of the artifact."""
        return self.layout.artifact(self.stage, self.ident)

    def __str__(self) -> str:
        return f"{self.stage} {self.ident}"


@dataclass(frozen=True)
class Layout:
    """The folders of one study; every path is under `study`, the folder of its params.yaml."""

    study: Path

    def place(self, stage: str, ident: str) -> Place:
        """The place of a stage's artifact."""
        return Place(self, stage, ident)

    def artifact(self, stage: str, ident: str) -> Path:
        """Folder of a stage's artifact: what DVC tracks and other stages read."""
        return self.study / "data" / stage / ident

    def run_record(self, stage: str, ident: str) -> Path:
        """What varies between two equal runs: commit, device, durations. No stage depends on it."""
        return self.runs() / stage / f"{ident}.run.json"

    def runs(self) -> Path:
        """Folder of all run records."""
        return self.study / "data" / "runs"

    def page(self) -> Path:
        """The report page: the deterministic tables and figures, with the run records beside them."""
        return self.study / "data" / "report.html"

    def lock(self, stage: str, ident: str) -> Path:
        """Lock file of a stage's only writer."""
        return self.study / ".robustdd" / "locks" / f"{stage}-{ident}"

    def made(self, place: Place) -> Path:
        """Folder of what is known of the units made at `place` and not in its run record yet."""
        return self.study / ".robustdd" / "made" / place.stage / place.ident

    def stop(self, stage: str, ident: str) -> Path:
        """File that is there while a stage is asked to stop."""
        return self.study / ".robustdd" / "stop" / f"{stage}-{ident}"

    def flow_runs(self, stage: str, ident: str) -> Path:
        """The Prefect runs of a stage that have not told a server their end."""
        return self.study / ".robustdd" / "flow-runs" / f"{stage}-{ident}"

    def checkpoints(self, place: Place, name: str) -> Path:
        """Folder of the checkpoints of the unit `name` at `place`; outside of what DVC tracks."""
        return self.study / ".robustdd" / "checkpoints" / place.stage / place.ident / name
