"""The stream's lag as the dashboard measures it on a real Kafka."""

from __future__ import annotations

import uuid

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from dashboard.config import Config, Kafka, Login
from dashboard.kafka import PartitionLag, measure
from local.settings import Settings

pytestmark = pytest.mark.integration


def test_lag_is_the_end_less_what_was_committed(stack: Settings) -> None:
    servers, topic, group = (stack.environment["KAFKA_BOOTSTRAP_SERVERS"], f"lag-{uuid.uuid4()}", f"lag-{uuid.uuid4()}")
    config = Config(
        "127.0.0.1", 0, None, {}, Login("", ""), None, stack.environment["FLINK_MASTER"], Kafka(servers, topic, group)
    )
    missing = measure(config)
    assert missing.posts_behind is None
    assert "Unknown topic" in missing.detail

    admin = AdminClient({"bootstrap.servers": servers})
    admin.create_topics([NewTopic(topic, 2, 1)])[topic].result(60)
    producer = Producer({"bootstrap.servers": servers})
    for i in range(30):
        producer.produce(topic, b"{}", partition=i % 3 % 2)
    assert producer.flush(60) == 0
    assert "has committed nothing" in measure(config).detail

    consumer = Consumer({"bootstrap.servers": servers, "group.id": group})
    consumer.commit(offsets=[TopicPartition(topic, 0, 15)], asynchronous=False)
    consumer.close()
    found = measure(config)
    assert found.partitions == [
        PartitionLag(partition=0, end=20, committed=15),
        PartitionLag(partition=1, end=10, committed=None),
    ]
    assert (found.basis, found.posts_behind) == ("committed", 15)
