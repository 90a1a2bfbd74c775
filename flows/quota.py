"""How many cores the control groups of this process let it use: a container's quota is not in its affinity."""

from __future__ import annotations

import math
from pathlib import Path


def quota(told: Path = Path("/proc/self/cgroup"), mounts: Path = Path("/sys/fs/cgroup")) -> float:
    """The smallest quota of the groups of this process and of those above them, in cores; infinite without one.

    `told` says of version 2 `0::GROUP`, of version 1 `N:CONTROLLERS:GROUP`; a container may see its own group as the
    root of `mounts` under the name that it has outside.
    """
    try:
        groups = [line.split(":", 2)[1:] for line in told.read_text().splitlines()]
    except OSError:  # not on every system
        return math.inf
    found = [math.inf]
    for controllers, group in groups:
        if controllers and "cpu" not in controllers.split(","):
            continue
        for mount in ("cpu", controllers) if controllers else ("", "unified"):
            place = mounts / mount / group.strip("/")
            found += [_own(folder) for folder in (place, *place.parents)]
    return min(found)


def _own(folder: Path) -> float:
    """The quota of one group: microseconds that it may compute, by the microseconds in which it may."""
    for names in (["cpu.max"], ["cpu.cfs_quota_us", "cpu.cfs_period_us"]):
        try:
            share, period = " ".join((folder / name).read_text() for name in names).split()
            return int(share) / int(period) if int(share) > 0 else math.inf
        except (OSError, ValueError):  # not there, or `max`
            continue
    return math.inf
