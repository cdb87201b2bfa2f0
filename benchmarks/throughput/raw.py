"""The raw limit: the least that any counting in Python must do. librdkafka, msgspec, a dict; no archive, no failures.

python -m benchmarks.throughput.raw --servers … --topic … --partitions 0,1 --of 2
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec
from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from benchmarks.throughput.checksum import checksum, shown
from detection.counts import WINDOW_SECONDS

BATCH = 2_000


class _Item(msgspec.Struct, gc=False):
    text: str


class _Post(msgspec.Struct, gc=False):
    item: _Item = msgspec.field(name="itemInfos")
    time_stamp: float


def count_partitions(servers: str, topic: str, partitions: Sequence[int], results: Any) -> None:
    """Count the partitions to their ends; put the progress and the counts' checksum into ``results``."""
    decode = msgspec.json.Decoder(_Post).decode
    consumer = Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": "benchmark-raw",
            "enable.partition.eof": True,
            "enable.auto.commit": False,
            "fetch.queue.backoff.ms": 5,
        }
    )
    consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])
    windows: dict[int, Counter[str]] = {}
    progress: list[tuple[float, float, int]] = []
    left = set(partitions)
    while left:
        began = time.time()
        messages = consumer.consume(BATCH, 0.2)
        values = [message.value() for message in messages if message.error() is None]
        for value in values:
            post = decode(value)
            start = int(post.time_stamp) // WINDOW_SECONDS * WINDOW_SECONDS
            counts = windows.get(start)
            if counts is None:
                counts = windows[start] = Counter()
            counts.update(set(post.item.text.split()))
        if values:
            progress.append((began, time.time(), len(values)))
        left -= {message.partition() for message in messages if _is_end(message)}
    consumer.close()
    total = sum(checksum(start, counts.items()) for start, counts in windows.items())
    results.put((progress, total))


def _is_end(message: Message) -> bool:
    error = message.error()
    return error is not None and error.code() == KafkaError._PARTITION_EOF


def main(arguments: Sequence[str] | None = None) -> int:
    """Count in as many processes as are asked for, and print progress and checksum as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.throughput.raw", description=__doc__)
    parser.add_argument("--servers", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--partitions", type=int, required=True)
    parser.add_argument("--processes", type=int, default=1)
    options = parser.parse_args(arguments)
    fork = multiprocessing.get_context("spawn")
    results = fork.Queue()
    shares = [range(i, options.partitions, options.processes) for i in range(options.processes)]
    workers = [
        fork.Process(target=count_partitions, args=(options.servers, options.topic, share, results)) for share in shares
    ]
    for worker in workers:
        worker.start()
    found = [results.get() for _ in workers]
    for worker in workers:
        worker.join()
    reads = sorted((read for progress, _ in found for read in progress), key=lambda read: read[1])
    posts = sum(count for _, _, count in reads)
    json.dump({"reads": reads, "counts": shown(posts, sum(total for _, total in found))}, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
