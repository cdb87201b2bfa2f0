"""A small streaming job with what the product asks of the runner; Python workers import it by name.

Kafka (with partition and offset) → event-time windows with early firings → GroupByKey → a step with state that sees the
pane → Kafka.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import apache_beam as beam
from apache_beam.io.kafka import ReadFromKafka
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.transforms.trigger import (
    AccumulationMode,
    AfterCount,
    AfterProcessingTime,
    AfterWatermark,
)
from apache_beam.transforms.userstate import ReadModifyWriteStateSpec
from apache_beam.transforms.window import FixedWindows
from apache_beam.utils.windowed_value import PaneInfoTiming
from kafka import KafkaProducer

from beam_pipelines import flink
from beam_pipelines.job_server import JobServer

WINDOW_SECONDS = 60
EARLY_SECONDS = 2
LATENESS_SECONDS = 24 * 3600
"""No record is too late: a partition that is read to its end moves the watermark to the wall clock."""


def keyed(record: Any) -> tuple[str, tuple[int, int]]:
    """Key a record by its value's first word; keep its place in Kafka."""
    return record.value.decode().split(" ", 1)[0], (record.partition, record.offset)


class Describe(beam.DoFn):
    """Say what was seen of a key's window so far, and how many firings came before."""

    FIRINGS = ReadModifyWriteStateSpec("firings", beam.coders.VarIntCoder())

    def process(
        self,
        element: tuple[str, Any],
        window: Any = beam.DoFn.WindowParam,
        pane: Any = beam.DoFn.PaneInfoParam,
        firings: Any = beam.DoFn.StateParam(FIRINGS),  # noqa: B008 - how Beam is told
    ) -> Iterator[bytes]:
        """Yield one line of JSON per firing."""
        word, places = element
        before = firings.read() or 0
        firings.write(before + 1)
        firing = {
            "word": word,
            "window": int(window.start),
            "places": sorted(places),
            "timing": PaneInfoTiming.to_string(pane.timing),
            "pane": pane.index,
            "firings_before": before,
            "worker": os.getpid(),
        }
        yield json.dumps(firing).encode()


class Send(beam.DoFn):
    """Send lines to a topic."""

    def __init__(self, servers: str, topic: str) -> None:
        self._servers, self._topic = servers, topic

    def setup(self) -> None:
        """Connect."""
        self._producer = KafkaProducer(bootstrap_servers=self._servers)

    def process(self, line: bytes) -> None:
        """Send one line."""
        self._producer.send(self._topic, line)

    def finish_bundle(self) -> None:
        """Wait until all is sent."""
        self._producer.flush()


def build(pipeline: beam.Pipeline, servers: str, source: str, sink: str, expansion_service: str) -> None:
    """Put the job together."""
    (
        pipeline
        | "Read"
        >> ReadFromKafka(
            consumer_config={"bootstrap.servers": servers, "auto.offset.reset": "earliest", "group.id": sink},
            topics=[source],
            with_metadata=True,
            timestamp_policy=ReadFromKafka.create_time_policy,
            expansion_service=expansion_service,
        )
        | "Key" >> beam.Map(keyed).with_output_types(tuple[str, tuple[int, int]])
        | "Window"
        >> beam.WindowInto(
            FixedWindows(WINDOW_SECONDS),
            trigger=AfterWatermark(early=AfterProcessingTime(EARLY_SECONDS), late=AfterCount(1)),
            accumulation_mode=AccumulationMode.ACCUMULATING,
            allowed_lateness=LATENESS_SECONDS,
        )
        | "Group" >> beam.GroupByKey()
        | "Describe" >> beam.ParDo(Describe())
        | "Send" >> beam.ParDo(Send(servers, sink))
    )


def submit(argv: list[str], servers: str, source: str, sink: str) -> str:
    """Submit the job, which goes on by itself; return its id once it runs."""
    arguments = flink.with_defaults(argv)
    master = flink.option(arguments, "flink_master")
    with JobServer(flink.job_server_jar(), master) as server:
        options = PipelineOptions([*arguments, f"--job_endpoint={server.job_endpoint}"], streaming=True)
        pipeline = beam.Pipeline(options=options)
        build(pipeline, servers, source, sink, server.expansion_service)
        pipeline.run()
        return flink.Cluster(master).wait_for_start(flink.option(arguments, "job_name"), set())
