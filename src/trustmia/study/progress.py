"""How far a study is, in words."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping

LOG_LINES = 15
STAGE = re.compile(r"^(?:Running stage|Stage) '(.+?)'", flags=re.MULTILINE)


def current_stage(log: str) -> str | None:
    """Return the stage that an experiment is at, by its log."""
    stages = STAGE.findall(log)
    return stages[-1] if stages else None


def log_end(log: str) -> str:
    """Return the last lines of a log, indented."""
    lines = log.splitlines() or ["(no output; it failed before its first stage)"]
    return "\n".join(f"    {line}" for line in lines[-LOG_LINES:])


def by_stages(not_run: Mapping[str, tuple[str, ...]]) -> str:
    """Say which experiments lack which stages, those that lack the same ones together."""
    alike: dict[tuple[str, ...], list[str]] = {}
    for name, stages in not_run.items():
        alike.setdefault(stages, []).append(name)
    return "; ".join(f"{', '.join(names)} ({', '.join(s)})" for s, names in alike.items() if s)


class Clock:
    """Estimates how long a study still takes, from what finished experiments took.

    Args:
        trains: By an experiment's name, whether it trains rather than finds the trainings done.
        jobs: How many run at the same time.
        now: Returns the time in seconds.
    """

    def __init__(self, trains: dict[str, bool], jobs: int, now: Callable[[], float]):
        self._trains = trains
        self._jobs = jobs
        self._now = now
        self._started: dict[str, float] = {}
        self._took: dict[bool, list[float]] = defaultdict(list)

    def start(self, name: str) -> None:
        """Note that an experiment runs."""
        self._started.setdefault(name, self._now())

    def end(self, name: str) -> float | None:
        """Note that an experiment ran to its end; return its seconds, if its start was seen."""
        if name not in self._started:
            return None
        took = self._now() - self._started.pop(name)
        self._took[self._trains[name]].append(took)
        return took

    def forget(self, name: str) -> None:
        """Note that an experiment failed; how long that took tells nothing."""
        self._started.pop(name, None)

    def left(self, unfinished: Iterable[str]) -> float | None:
        """Return seconds until all of these are done, or None before the first one is."""
        everything = [took for times in self._took.values() for took in times]
        if not everything:
            return None
        total = 0.0
        for name in unfinished:
            times = self._took[self._trains[name]] or everything
            ran = self._now() - self._started.get(name, self._now())
            total += max(0.0, sum(times) / len(times) - ran)
        return total / self._jobs


def duration(seconds: float) -> str:
    """Return a duration in words."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
