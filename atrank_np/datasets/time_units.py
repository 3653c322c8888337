"""Whether the time buckets suit the times of a log. If nearly all behaviours are in one bucket, time says nothing."""

import numpy as np

from .log import Log, user_of_event
from .packing import bucketize

FIRST, LAST = 0.9, 0.4  # shares of a group's behaviours in the first and in the last bucket
TICKS = {"nanoseconds": 10**9, "microseconds": 10**6, "milliseconds": 1000}  # of a second


def time_units(log: Log) -> list[str]:
    """A line for each group of the history whose behaviours are mostly in the first or in the last bucket.

    They are counted at the last event of each user; `datasets.stats` shows all buckets, in all histories.
    """
    lines, user, latest = [], user_of_event(log), int(np.abs(log.time).max(initial=0))
    last = log.offsets[1:][user] - 1
    earlier = np.arange(len(last)) < last
    for g, group in enumerate(log.schema.groups):
        mine = earlier & (log.group == g)
        if group.name not in log.schema.history or group.buckets < 3 or not mine.any():
            continue
        bucket = bucketize((log.time[last] - log.time)[mine], group.unit, group.buckets)
        first, final = (bucket == 0).mean(), (bucket == group.buckets - 1).mean()
        guess = next(((unit, group.unit * ticks) for unit, ticks in TICKS.items() if latest > 10**8 * ticks), None)
        if first > FIRST:
            what = f"{first:.0%} of the behaviours of {group.name} are newer than one bucket_unit ({group.unit:,} ticks)"
            guess = ("days", max(1, group.unit // 86400)) if latest < 10**6 else None
        elif final > LAST:
            what = f"{final:.0%} of the behaviours of {group.name} are older than the last time bucket starts"
        else:
            continue
        advice = f"are times in {guess[0]}? Then bucket_unit = {guess[1]} in schema.toml" if guess else "try another bucket_unit"
        if log.time.min() >= 19000101 and latest <= 21001231:
            advice = f"is {latest} a date? Then write {latest // 10000}-{latest // 100 % 100:02}-{latest % 100:02}"
        lines.append(f"{what}: {advice}")
    return lines
