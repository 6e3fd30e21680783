"""How busy a machine is with others while something is timed on it."""

import os
import time
from collections.abc import Collection
from pathlib import Path

__all__ = ["QUIET_CORES", "BusyMeter"]

# A round counts if other processes used less than this part of one core meanwhile.
QUIET_CORES = 0.1


class BusyMeter:
    """How many cores other processes used since it was made; None where the system doesn't say.

    pids: running processes that are no others.
    """

    def __init__(self, pids: Collection[int] = ()) -> None:
        self._pids = pids
        self._start = self._read()

    def _read(self) -> tuple[float, float, float] | None:
        try:
            fields = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()[1:]
        except OSError:
            return None
        # user nice system idle iowait irq softirq steal (man 5 proc_stat); the guest's are counted in user's already.
        ticks = [int(field) for field in fields[:8]]
        busy = (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")
        own = os.times()
        seconds = own.user + own.system + own.children_user + own.children_system
        return busy, seconds + sum(map(_used_s, self._pids)), time.monotonic()

    def cores(self) -> float | None:
        """Return the mean number of cores in use by others."""
        now = self._read()
        if now is None or self._start is None:
            return None
        busy, own, seconds = (after - before for after, before in zip(now, self._start, strict=True))
        return max(busy - own, 0.0) / max(seconds, 1e-9)


def _used_s(pid: int) -> float:
    """Return the seconds of all cores that a running process has used, 0 where it has ended."""
    try:
        # The name between brackets may hold anything (man 5 proc_pid_stat).
        used = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(used[11]) + int(used[12])) / os.sysconf("SC_CLK_TCK")
