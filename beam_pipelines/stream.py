"""The main job: posts from Kafka, kept in the lake, counted in event-time windows, scored against baselines.

    python -m beam_pipelines.stream --runner=FlinkRunner            # on the cluster; Ctrl-C cancels the job
    python -m beam_pipelines.stream --runner=FlinkRunner --detach   # submit, wait until it runs, return
    python -m beam_pipelines.stream --runner=FlinkRunner --flink_master=[local]     # an embedded Flink, no cluster
    python -m beam_pipelines.stream --input posts.ndjson --history counts.csv.gz    # a look at a file, no server at all

Addresses and secrets come from the environment or `.env`: KAFKA_BOOTSTRAP_SERVERS, FLINK_MASTER, PGHOST, PGPORT,
PGDATABASE, PGUSER, PGPASSWORD, AWS_ENDPOINT_URL_S3, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, LAKE. Passwords are never
options: Flink shows a job's options to everybody who can open its web UI.
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import apache_beam as beam
from apache_beam.options.pipeline_options import DebugOptions, PipelineOptions, PortableOptions, StandardOptions
from apache_beam.runners.runner import PipelineResult

from beam_pipelines import flink
from beam_pipelines.command_line import check_known, print_help, wants_help
from beam_pipelines.counting_options import CountingOptions
from beam_pipelines.counts_files import read_history
from beam_pipelines.detector_options import DetectorOptions
from beam_pipelines.job_server import EMBEDDED, JobServer
from beam_pipelines.preflight import check_servers
from beam_pipelines.publication import learn
from beam_pipelines.stream_options import StreamConfig, StreamOptions
from detection.baselines import BaselineTable
from programs.errors import UserError, start
from transforms.archive import ArchivePosts
from transforms.baselines import Baselines, FixedBaselines, PostgresBaselines
from transforms.decoding import DecodePosts
from transforms.mentions import CountMentions
from transforms.outliers import ScoredWindow
from transforms.records import RawBatch
from transforms.scoring import ScoreWindows
from transforms.sinks import WriteToPostgres, WriteToTopic, put_dead_letters, put_outliers
from transforms.sources.consumer import TopicSettings
from transforms.sources.file import ReadFile
from transforms.sources.kafkaio import BUNDLE_PACKS, MAX_BUNDLE_PACKS, MAX_PACKED, ReadWithKafkaIO
from transforms.sources.librdkafka import ReadWithLibrdkafka
from transforms.windows import MergePanes, WindowMentions

_JOB_NAME = "tiktok-stream"

# The stream comes back from any number of faults; the cluster's own setting is for batches.
_ENDLESS = {"number_of_execution_retries": 2**31 - 1, "execution_retry_delay": 2_000}  # ms
# Flink deletes the checkpoints of a job that it cancels, or that ends with its job manager, unless it is told to keep them.
_RESUMABLE = ("--externalized_checkpoints_enabled", "--retain_externalized_checkpoints_on_cancellation")


@dataclass(frozen=True)
class Place:
    """Where a pipeline will run, as far as its graph depends on it.

    Attributes:
        expansion_service: address that describes the Java side of ``ReadFromKafka``.
        parallelism: number of Flink's parallel tasks.
    """

    expansion_service: str = ""
    parallelism: int = 1


NOWHERE = Place()


def source_of(config: StreamConfig, place: Place) -> ReadWithKafkaIO | ReadWithLibrdkafka:
    """Return the transform that reads the topic."""
    if config.source == "kafkaio":
        return ReadWithKafkaIO(
            config.bootstrap_servers,
            config.topic_posts,
            config.start_from,
            place.expansion_service,
        )
    settings = TopicSettings(
        config.bootstrap_servers,
        config.topic_posts,
        config.consumer_group,
        config.start_from,
        config.max_out_of_orderness,
        config.idle_partition_timeout,
    )
    return ReadWithLibrdkafka(settings, config.readers or place.parallelism, place.parallelism)


def read_posts(pipeline: beam.Pipeline, config: StreamConfig, place: Place) -> beam.PCollection[RawBatch]:
    """Read the posts of a file or of the topic, in batches."""
    if config.input:
        return pipeline | "ReadFile" >> ReadFile(config.input)
    return pipeline | "ReadPosts" >> source_of(config, place)


def _baselines(config: StreamConfig) -> Callable[[], Baselines]:
    if not config.input:
        return partial(PostgresBaselines, config.detector.name, config.baselines_every_seconds)
    table = BaselineTable.empty(config.detector.name)
    if config.history:
        table = learn(config.detector, read_history([Path(config.history)]), version=1)
    return partial(FixedBaselines, table)


def build(pipeline: beam.Pipeline, config: StreamConfig, place: Place = NOWHERE) -> beam.PCollection[ScoredWindow]:
    """Put the stream together; labels and metrics are stable, for savepoints and dashboards depend on them."""
    return process(read_posts(pipeline, config, place), config)


def process(batches: beam.PCollection[RawBatch], config: StreamConfig) -> beam.PCollection[ScoredWindow]:
    """Do all that is done with posts once they are read."""
    batches | "ArchivePosts" >> ArchivePosts(f"{config.lake}/raw")
    decoded = batches | "DecodePosts" >> DecodePosts()
    dead = decoded[DecodePosts.DEAD]
    dead | "PutDeadLetters" >> beam.Map(put_dead_letters, f"{config.lake}/dead")

    scored = (
        decoded[DecodePosts.POSTS]
        | "CountMentions" >> CountMentions(config.shards)
        | "WindowMentions" >> WindowMentions(config.early_firing_seconds, config.allowed_lateness_seconds)
        | "MergePanes" >> MergePanes()
        | "ScoreWindows" >> ScoreWindows(config.detector, _baselines(config))
    )
    found = scored | "WithOutliers" >> beam.Filter(lambda window: bool(window.outliers))
    found | "PutOutliers" >> beam.Map(put_outliers, f"{config.lake}/outliers")
    if not config.input:
        scored | "WriteToPostgres" >> WriteToPostgres(config.min_mentions)
        dead | "SendDeadLetters" >> WriteToTopic(config.topic_dead, config.bootstrap_servers)
        outliers = found | "OutliersOnly" >> beam.Map(lambda window: window.outliers)
        outliers | "SendOutliers" >> WriteToTopic(config.topic_outliers, config.bootstrap_servers)
    return scored


Build = Callable[[beam.Pipeline, StreamConfig, Place], object]


def run(argv: Sequence[str], build_on_flink: Build = build) -> int:
    """Parse options, check, build, run; a benchmark has a graph of its own to run on Flink."""
    if wants_help(argv):
        print_help(
            "beam_pipelines.stream",
            __doc__,
            "FlinkRunner, or DirectRunner with --input",
            ", such as --parallelism, --checkpointing_interval (ms), "
            "--max_bundle_size, --sdk_worker_parallelism, --job_name",
            StreamOptions,
            CountingOptions,
            DetectorOptions,
        )
        return 0
    check_known(argv)
    options = PipelineOptions(list(argv))
    config = StreamConfig.of(options)
    if not flink.wants_flink(argv):
        if not config.input:
            msg = "reading Kafka needs --runner=FlinkRunner; without a server, name a file with --input"
            raise UserError(msg)
        return _run_on_file(options, config)
    if config.input:
        msg = "--input runs on the DirectRunner: leave --runner out"
        raise UserError(msg)
    options = PipelineOptions(_flink_arguments(argv, config))
    options.view_as(StandardOptions).streaming = True
    return _run_on_flink(options, config, build_on_flink)


def _flink_arguments(argv: Sequence[str], config: StreamConfig) -> list[str]:
    argv = [*argv, *(flag for flag in _RESUMABLE if flag not in argv)]
    if config.source != "kafkaio":
        return flink.with_defaults(argv, _JOB_NAME, **_ENDLESS)
    asked = flink.option(argv, "max_bundle_size")
    if asked.isdecimal() and int(asked) > MAX_BUNDLE_PACKS:
        msg = (
            f"--max_bundle_size={asked} could stall the job: with --source=kafkaio it counts packs of up to {MAX_PACKED} posts, "
            f"and Beam's Java side takes at most {MAX_BUNDLE_PACKS}; leave it out for {BUNDLE_PACKS}"
        )
        raise UserError(msg)
    return flink.with_defaults(argv, _JOB_NAME, **_ENDLESS, max_bundle_size=BUNDLE_PACKS)


def _run_on_file(options: PipelineOptions, config: StreamConfig) -> int:
    with beam.Pipeline(options=options) as pipeline:
        scored = build(pipeline, config)
        (
            scored
            | "Lines" >> beam.FlatMap(lambda window: [outlier.to_json().decode() for outlier in window.outliers])
            | "Print" >> beam.Map(print)
        )
    return 0


def _run_on_flink(options: PipelineOptions, config: StreamConfig, build_on_flink: Build) -> int:
    details = options.get_all_options()
    master, name, parallelism = details["flink_master"], details["job_name"], int(details["parallelism"])

    if master == EMBEDDED and config.detach:
        msg = f"--detach leaves a job on a cluster; --flink_master={EMBEDDED} ends with this program: give one of them"
        raise UserError(msg)

    def submit(server: JobServer, where: str) -> PipelineResult:
        check_servers(config)
        options.view_as(PortableOptions).job_endpoint = server.job_endpoint
        if config.source == "librdkafka":
            options.view_as(DebugOptions).add_experiment(flink.AT_ONCE)
        pipeline = beam.Pipeline(options=options)
        expansion_service = server.expansion_service if config.source == "kafkaio" else ""
        build_on_flink(pipeline, config, Place(expansion_service, parallelism))
        print(f"submitting {name} to {where} …", file=sys.stderr, flush=True)
        return pipeline.run()

    # Java starts while the checks and the build go on.
    if master == EMBEDDED:
        with JobServer(flink.job_server_jar(), master) as server:
            result = submit(server, "an embedded Flink")
            try:
                result.wait_until_finish()
            except KeyboardInterrupt:
                result.cancel()  # or Beam's own thread complains that the job server is gone
                raise
        return 0
    cluster = flink.Cluster(master)
    cluster.check_slots(parallelism)
    with cluster.one_more(name) as known, JobServer(flink.job_server_jar(), master) as server:
        submit(server, cluster.url)
        # Ends the streams from the job server. Should they end with the server, as this program does, gRPC's thread may be
        # stopped while it holds a lock that their destructors want: the program would never return.
        gc.collect()
        job_id = cluster.wait_for_start(name, known)
    print(f"running: {cluster.url}/#/job/running/{job_id}", file=sys.stderr, flush=True)
    return 0 if config.detach else _follow(cluster, job_id, name)


def _follow(cluster: flink.Cluster, job_id: str, name: str) -> int:
    """Wait for the end of a job, and tell why it was started again; Ctrl-C cancels it."""
    told = ""
    try:
        while (state := cluster.state(job_id)) not in flink.TERMINAL_STATES:
            if (fault := cluster.newest_fault(job_id)) != told:
                print(f"{name} failed and is started again: {fault}", file=sys.stderr, flush=True)
                told = fault
            time.sleep(2)
    except KeyboardInterrupt:
        print(f"cancelling {name} …", file=sys.stderr, flush=True)
        cluster.cancel(job_id)
        if address := cluster.newest_checkpoint(job_id):
            print(f"with --savepoint_path={address} it goes on where it was", file=sys.stderr, flush=True)
        raise
    if state == "FAILED":
        msg = f"the job {name} failed: {cluster.newest_fault(job_id)}"
        raise UserError(msg)
    print(f"the job {name} ended: {state}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    # Workers import this module by its name; what is defined in __main__ they could not find.
    from beam_pipelines import stream  # noqa: PLW0406

    start(stream.run)
