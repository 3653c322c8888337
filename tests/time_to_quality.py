"""AUC and NDCG@10 against seconds of training, for each purpose: on validation events, so that it may choose settings.

    python tests/time_to_quality.py DATA [--users 1000] [-- --epochs 5 …]

Flags after `--` are those of `train`. At each evaluation the whole catalogue is ranked for some users, spread evenly; this
time does not count.
"""

import argparse
import sys
import tempfile
import time
from types import SimpleNamespace

from atrank_np import train_flags, training
from atrank_np.config import PURPOSES
from atrank_np.datasets.protocol import Protocol
from atrank_np.evaluation.ranking import full_ranks
from atrank_np.metrics import rank_metrics
from atrank_np.runs.checkpoint import load

training.time = SimpleNamespace(perf_counter=time.process_time)  # by which it measures its seconds


def curve(data, purpose, users, flags):
    """Prints a line at each evaluation."""
    source, config = train_flags.settings(
        train_flags.parse(["--data", data, "--for", purpose, "--validate", "--threads", "1", *flags])
    )
    log, _ = source.read()
    protocol = Protocol(log, config)
    some = protocol.some_tests(users)
    with tempfile.TemporaryDirectory() as folder:

        def show(step, loss, auc):
            trained = load(folder)
            found = rank_metrics(full_ranks(trained.backend(), protocol, some))
            seconds = trained.state.seconds
            print(
                f"{purpose:8} {seconds:8.1f} s  AUC {auc:.4f}  HR@10 {found['hr@10']:.4f}  NDCG@10 {found['ndcg@10']:.4f}",
                flush=True,
            )

        training.fit(log, config, out=folder, callback=show)


def main():
    arguments = [*sys.argv[1:], "--"]
    own, flags = arguments[: arguments.index("--")], [f for f in arguments[arguments.index("--") + 1 :] if f != "--"]
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data")
    parser.add_argument("--users", type=int, default=1000)
    parser.add_argument("--purposes", default=",".join(PURPOSES))
    options = parser.parse_args(own)
    for purpose in options.purposes.split(","):
        curve(options.data, purpose, options.users, flags)


if __name__ == "__main__":
    main()
