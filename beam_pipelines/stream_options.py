"""Options of the stream and the validated, frozen settings made of them."""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from pathlib import Path

from apache_beam.options.pipeline_options import PipelineOptions

from beam_pipelines.counting_options import CountingOptions
from beam_pipelines.detector_options import detector_of
from beam_pipelines.lake_address import lake_address
from detection.counts import WINDOW_SECONDS
from detection.detector import Detector
from programs.errors import UserError
from transforms.outliers import REMEMBERED_SECONDS

MAX_SHARDS = 1024
MAX_LATENESS_SECONDS = REMEMBERED_SECONDS - WINDOW_SECONDS
SOURCES = ("kafkaio", "librdkafka")
MAX_OUT_OF_ORDERNESS = 5.0
IDLE_PARTITION_TIMEOUT = 10.0

# Options of one source alone, with their defaults.
_LIBRDKAFKA: dict[str, float] = {
    "max_out_of_orderness": MAX_OUT_OF_ORDERNESS,
    "idle_partition_timeout": IDLE_PARTITION_TIMEOUT,
    "readers": 0,
}


class StreamOptions(PipelineOptions):
    """Options of the stream; Beam's and Flink's own are accepted beside them."""

    @classmethod
    def _add_argparse_args(cls, parser: argparse.ArgumentParser) -> None:
        group = parser.add_argument_group("stream")
        env = os.environ.get
        group.add_argument(
            "--bootstrap_servers",
            default=env("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9092"),
            help="Kafka brokers, HOST:PORT[,…]; default: KAFKA_BOOTSTRAP_SERVERS or 127.0.0.1:9092",
        )
        group.add_argument(
            "--topic_posts", default=env("TOPIC_POSTS", "posts"), help="topic read; default: %(default)s"
        )
        group.add_argument(
            "--topic_outliers",
            default=env("TOPIC_OUTLIERS", "outliers"),
            help="topic of outliers; default: %(default)s",
        )
        group.add_argument(
            "--topic_dead", default=env("TOPIC_DEAD", "dead"), help="topic of dead letters; default: %(default)s"
        )
        group.add_argument(
            "--consumer_group",
            default=env("KAFKA_CONSUMER_GROUP", "tiktok-stream"),
            help="Kafka consumer group that --source=librdkafka commits to, for monitoring; default: KAFKA_CONSUMER_GROUP "
            "or tiktok-stream",
        )
        group.add_argument(
            "--start_from",
            choices=("earliest", "latest"),
            default="earliest",
            help="where a new job starts to read; a restarted one goes on at its checkpoint; default: %(default)s",
        )
        group.add_argument(
            "--source",
            choices=SOURCES,
            default=SOURCES[0],
            help="how to read Kafka: Beam's ReadFromKafka, or librdkafka inside the Python workers, which is about "
            "twice as fast; default: %(default)s",
        )
        group.add_argument(
            "--max_out_of_orderness",
            type=float,
            help="librdkafka: seconds that a record may be older than the newest of its partition and still be on time; "
            f"default: {MAX_OUT_OF_ORDERNESS}",
        )
        group.add_argument(
            "--idle_partition_timeout",
            type=float,
            help="librdkafka: seconds of silence after which a partition that is read to its end holds the watermark back "
            f"no longer; default: {IDLE_PARTITION_TIMEOUT}",
        )
        group.add_argument(
            "--readers",
            type=int,
            help="librdkafka: readers that the partitions are shared out to, fixed for the life of a job; "
            "default: --parallelism",
        )
        group.add_argument(
            "--input",
            default="",
            help="read this plain ndjson file on the DirectRunner instead of Kafka; needs no server",
        )
        group.add_argument(
            "--history",
            default="",
            help="with --input: CSV of counts (keyword,window_start,mentions) to learn the baselines from",
        )
        group.add_argument(
            "--early_firing_seconds",
            type=int,
            default=60,
            help="processing time between provisional results of an open window; 0: none; default: %(default)s",
        )
        group.add_argument(
            "--baselines_every_seconds",
            type=float,
            default=300,
            help="how often to look for a new version of the baselines; default: %(default)s",
        )
        group.add_argument(
            "--min_mentions",
            type=int,
            default=2,
            help="keywords with fewer mentions in a window get no row in keyword_windows; default: %(default)s",
        )
        group.add_argument(
            "--detach", action="store_true", help="FlinkRunner: return when the job runs, and leave it running"
        )


def _is_compressed(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(4)
    return head.startswith(b"\x1f\x8b") or head == b"\x28\xb5\x2f\xfd" or head[1:] == b"\x2a\x4d\x18"


@dataclass(frozen=True)
class StreamConfig:
    """Validated settings of the stream; the fields are the options of the same names.

    ``readers`` is 0 for as many as Flink has parallel tasks.
    """

    bootstrap_servers: str
    topic_posts: str
    topic_outliers: str
    topic_dead: str
    consumer_group: str
    start_from: str
    source: str
    max_out_of_orderness: float
    idle_partition_timeout: float
    readers: int
    input: str
    history: str
    lake: str
    detector: Detector
    shards: int
    early_firing_seconds: int
    allowed_lateness_seconds: int
    baselines_every_seconds: float
    min_mentions: int
    detach: bool

    @classmethod
    def of(cls, options: PipelineOptions) -> StreamConfig:
        """Validate the options.

        Raises:
            UserError: one of them makes no sense; the message names it.
        """
        own, counting = options.view_as(StreamOptions), options.view_as(CountingOptions)
        given = {
            name: getattr(counting if name in CountingOptions.NAMES else own, name)
            for name in cls.__dataclass_fields__
            if name != "detector"
        }
        given["lake"] = lake_address(given["lake"], "build/lake" if given["input"] else None)
        given["detector"] = detector_of(options)
        for name, default in _LIBRDKAFKA.items():
            if given[name] is None:
                given[name] = default
            elif given["source"] != "librdkafka":
                msg = f"--{name} goes with --source=librdkafka"
                raise UserError(msg)
        if given["input"]:
            given["early_firing_seconds"] = 0  # a file is all there at once: nothing is provisional
        config = cls(**given)
        checks = (
            (1 <= config.shards <= MAX_SHARDS, f"--shards={config.shards}: expected 1 to {MAX_SHARDS}"),
            (config.max_out_of_orderness >= 0, "--max_out_of_orderness: expected 0 or more seconds"),
            (config.idle_partition_timeout >= 1, "--idle_partition_timeout: expected at least 1 second"),
            (config.readers >= 0, "--readers: expected a positive number"),
            (config.early_firing_seconds >= 0, "--early_firing_seconds: expected 0 or more seconds"),
            (
                0 <= config.allowed_lateness_seconds <= MAX_LATENESS_SECONDS,
                f"--allowed_lateness_seconds: expected 0 to {MAX_LATENESS_SECONDS}, for so long is remembered what was told of a "
                "window; what comes later is counted by the daily batch",
            ),
            (config.baselines_every_seconds >= 1, "--baselines_every_seconds: expected at least 1 second"),
            (config.min_mentions >= 1, "--min_mentions: expected at least 1"),
            (
                not config.history or bool(config.input),
                "--history goes with --input; a stream's baselines are in Postgres",
            ),
            (not config.input or Path(config.input).is_file(), f"--input={config.input}: no such file"),
            (
                not config.input or not _is_compressed(Path(config.input)),
                f"--input={config.input} is compressed: unpack it first, with zstd -d or gzip -d",
            ),
            (
                bool(config.input) or config.lake.startswith("s3://"),
                f"--lake={config.lake}: expected s3://BUCKET[/PREFIX]; a folder is for --input",
            ),
        )
        for holds, message in checks:
            if not holds:
                raise UserError(message)
        return config
