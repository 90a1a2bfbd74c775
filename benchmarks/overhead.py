"""What orchestration costs: a stage that has nothing to do, with and without a live server, and `dvc repro` likewise.

`python -m benchmarks.overhead` writes results/overhead.json: seconds of wall clock and of processor, the median of
`REPEATS` processes each. A stage that finds everything cached does all but its science: it starts, reads the study,
checks every digest, tells Prefect, writes its record. Imports are told apart. The stages of the DVC projects are given
small files in place of artifacts, written into dvc.lock by `dvc commit`: a no-op reads no more than their digests.
"""

from __future__ import annotations

import json
import math
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from flows.with_server import loopback_server
from robustdd.store.provenance import commit
from tests.support.dvc_project import STUDY, make_project, project_environment, resolved
from tests.support.pipeline import environment, run_all
from tests.support.studies import SGR, tiny_study, write_study

ROOT = Path(__file__).resolve().parent.parent
REPEATS = 5
LARGE = 200
SEEDS = 3
"""Rows of one setting in a large study."""
STAGE = ("teachers", SGR)
LIMITS = {"stage_live": 9.0, "stage_direct": 6.0, "noop_demo": 5.0, "noop_200_stages": 15.0}
"""Seconds of wall clock that were asked for."""


def main() -> int:
    """Measure everything; the folders are thrown away."""
    print("load average:", os.getloadavg(), file=sys.stderr)
    with tempfile.TemporaryDirectory() as scratch:
        figures = {**stages(Path(scratch)), **projects(Path(scratch))}
    record = {
        "commit": commit(),
        "machine": {"cores": os.cpu_count(), "python": platform.python_version(), "load_average": os.getloadavg()},
        "repeats": REPEATS,
        "limits_wall_seconds": LIMITS,
        "seconds": figures,
    }
    (ROOT / "results" / "overhead.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(figures, indent=1))
    return 0


def stages(scratch: Path) -> dict[str, Any]:
    """Imports alone, and a stage of two cached units without and with a live server."""
    study = write_study(scratch / "studies" / "tiny")
    run_all(study, but=("consistency", "subset", "finetune", "distill", "evaluate", "train-full", "report"))
    env = environment(scratch / "home")
    command = (sys.executable, "-m", "flows.stage", *STAGE)
    imports = "import flows.stage, tasks.stages.teachers"
    found = {
        "imports_direct": timed((sys.executable, "-c", imports), study, env),
        "imports_live": timed((sys.executable, "-c", f"{imports}, flows.live"), study, env),
        "stage_direct": timed(command, study, env),
    }
    os.environ.update({name: value for name, value in env.items() if name.startswith(("PREFECT_", "DO_NOT"))})
    with loopback_server(scratch / "server") as url:
        if url is None:
            raise SystemExit("the server did not come up")
        found["stage_live"] = timed(command, study, {**env, "PREFECT_API_URL": url})
    return found


def projects(scratch: Path) -> dict[str, Any]:
    """`dvc repro` that finds nothing to do, on the demo's stages and on a study of `LARGE`."""
    demo = YAML(typ="safe").load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    many, noop = large(tiny_study()), f"noop_{LARGE}_stages"
    found = {}
    for name, study, seeds in (("noop_demo", demo, 1), (noop, many, SEEDS), (f"{noop}_written_out", many, 1)):
        project = make_project(scratch / name, {**study, "rows": {}, "root": "../.."})
        write_rows(project / STUDY / "params.yaml", study["rows"], seeds)
        count = pretend(project, study)
        env = project_environment(project)
        subprocess.run(("dvc", "commit", "-q", "-f", f"{STUDY}/dvc.yaml"), cwd=project, env=env, check=True)
        found[name] = {"stages": count, **timed(("dvc", "repro", f"{STUDY}/dvc.yaml"), project, env, "up to date")}
    return found


def large(study: dict[str, Any]) -> dict[str, Any]:
    """The tiny study with rows, of two stages each, until it has `LARGE` stages or one more."""
    study = deepcopy(study)
    row = next(iter(study["rows"].values()))
    others = len(resolved({**study, "rows": {}}))
    study["rows"] = {f"row-{index:03d}": {**row, "seed": index} for index in range(math.ceil((LARGE - others) / 2))}
    return study


def write_rows(path: Path, rows: Mapping[str, Mapping[str, Any]], seeds: int) -> None:
    """Put `rows` into a study that has none: every one but the first of each `seeds` as that one with another seed.

    So they are written in `studies/`. DVC reads the whole file once for every stage: what is shorter is read sooner.
    """
    lines = []
    for index, (name, row) in enumerate(rows.items()):
        if index % seeds == 0:
            first, held = name, ", ".join(f"{key}: {value}" for key, value in row.items())
            lines.append(f"  {name}: &{name} {{{held}}}")
        else:
            lines.append(f"  {name}: {{<<: *{first}, seed: {row['seed']}}}")
    text = path.read_text(encoding="utf-8").replace("rows: {}", "rows:\n" + "\n".join(lines))
    path.write_text(text, encoding="utf-8")
    if YAML(typ="safe").load(text)["rows"] != rows:
        raise SystemExit(f"{path}: the rows read back are others")


def pretend(project: Path, study: Mapping[str, Any]) -> int:
    """Give every stage small files where its artifacts would lie; returns the number of stages."""
    found = resolved(study)
    for stage, instance in found.items():
        for out in instance.outs:
            path = project / STUDY / out
            is_file = path.suffix in (".json", ".html")
            path = path if is_file else path / "part.manifest.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{stage} {out}\n", encoding="utf-8")
    return len(found)


def timed(command: Sequence[str], folder: Path, env: Mapping[str, str], says: str = "") -> dict[str, Any]:
    """Seconds of wall clock and of processor of `REPEATS` runs, after one that warms the disk's cache: medians, ranges.

    A shared machine has slow minutes: the range says how much of a median is theirs.
    """
    walls, processors = [], []
    for _ in range(REPEATS + 1):
        before, clock = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        done = subprocess.run(command, cwd=folder, env=dict(env), capture_output=True, text=True, check=False)
        walls.append(time.monotonic() - clock)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        processors.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        if done.returncode or says not in done.stdout + done.stderr:
            raise SystemExit(f"{' '.join(command)}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    found: dict[str, Any] = {}
    for name, each in (("wall", walls[1:]), ("processor", processors[1:])):
        found |= {name: round(statistics.median(each), 2), f"{name}_range": [round(min(each), 2), round(max(each), 2)]}
    return found


if __name__ == "__main__":
    sys.exit(main())
