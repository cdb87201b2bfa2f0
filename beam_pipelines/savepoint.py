"""Stop the stream with a savepoint, from which another submission goes on.

    python -m beam_pipelines.savepoint                                    # prints the savepoint's address
    python -m beam_pipelines.stream --runner=FlinkRunner --detach --savepoint_path=ADDRESS …

All that the stream knows is in the savepoint: offsets, open windows, what the detector remembers. The stream that goes on
must have the same steps: the same release, or one that says it can, and the same --source, --shards and --readers.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from beam_pipelines.flink import Cluster
from programs.errors import UserError, start


def run(argv: Sequence[str]) -> int:
    """Parse options, stop the job, print where its savepoint is."""
    parser = argparse.ArgumentParser(
        prog="python -m beam_pipelines.savepoint",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--flink_master",
        default=os.environ.get("FLINK_MASTER", "127.0.0.1:8081"),
        help="HOST:PORT of Flink's REST API; default: FLINK_MASTER or 127.0.0.1:8081",
    )
    parser.add_argument("--job_name", default="tiktok-stream", help="the job to stop; default: %(default)s")
    parser.add_argument(
        "--directory",
        default="",
        help="URI of the folder for the savepoint; default: the cluster's state.savepoints.dir",
    )
    options = parser.parse_args(argv)
    cluster = Cluster(options.flink_master)
    running = [job["jid"] for job in cluster.jobs() if job["name"] == options.job_name and job["state"] == "RUNNING"]
    if len(running) != 1:
        msg = f"{len(running)} jobs named {options.job_name!r} run at {cluster.url}, expected one: see --job_name"
        raise UserError(msg)
    print(f"stopping {options.job_name} with a savepoint …", file=sys.stderr, flush=True)
    print(cluster.cancel_with_savepoint(running[0], options.directory))
    return 0


if __name__ == "__main__":
    start(run)
