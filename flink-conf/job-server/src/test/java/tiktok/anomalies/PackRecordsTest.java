package tiktok.anomalies;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Collectors;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.internals.RecordHeaders;
import org.apache.kafka.common.record.TimestampType;
import org.junit.jupiter.api.Test;
import org.msgpack.core.MessagePack;
import org.msgpack.core.MessageUnpacker;

class PackRecordsTest {
  private static final long SECOND = 1_600_000_000_000L;
  private static final long TOLERANCE = 900_000;

  @Test
  void aRunBecomesOneRecordThatHoldsAllOfIt() throws IOException {
    List<ConsumerRecord<byte[], byte[]>> packs = packed(10, 1_000_000, record(0, 7, SECOND, "a"), record(0, 8, SECOND - 5, null));
    assertEquals(1, packs.size());
    ConsumerRecord<byte[], byte[]> pack = packs.get(0);
    assertEquals(8, pack.offset()); // from here a reader goes on
    assertEquals(SECOND, pack.timestamp());
    assertEquals(TimestampType.CREATE_TIME, pack.timestampType());
    try (MessageUnpacker unpacker = MessagePack.newDefaultUnpacker(pack.value())) {
      assertEquals(5, unpacker.unpackArrayHeader());
      assertEquals("posts", unpacker.unpackString());
      assertEquals(0, unpacker.unpackInt());
      assertEquals(7, unpacker.unpackLong());
      assertEquals(2, unpacker.unpackArrayHeader());
      assertEquals(SECOND, unpacker.unpackLong());
      assertEquals(SECOND - 5, unpacker.unpackLong());
      assertEquals(2, unpacker.unpackArrayHeader());
      assertArrayEquals("a".getBytes(), unpacker.readPayload(unpacker.unpackBinaryHeader()));
      assertEquals(0, unpacker.unpackBinaryHeader()); // a tombstone
      assertFalse(unpacker.hasNext());
    }
  }

  @Test
  void aPackEndsAtAGapAndWhenItIsFull() {
    List<ConsumerRecord<byte[], byte[]>> packs =
        packed(3, 5, record(0, 1, 1, "a"), record(0, 2, 1, "b"), record(0, 4, 1, "c"), record(0, 5, 1, "d"), record(0, 6, 1, "e"),
            record(0, 7, 1, "f"), record(0, 8, 1, "five!"), record(0, 9, 1, "h"));
    assertEquals(List.of(2L, 6L, 8L, 9L), packs.stream().map(ConsumerRecord::offset).collect(Collectors.toList()));
  }

  @Test
  void partitionsStayApart() {
    List<ConsumerRecord<byte[], byte[]>> packs = packed(9, 99, record(1, 2, 1, "a"), record(0, 1, 1, "b"), record(0, 2, 1, "c"));
    assertEquals(2, packs.size());
    assertTrue(packs.stream().allMatch(pack -> pack.offset() == 2));
  }

  @Test
  void aTimestampThatCannotBeTrueMovesNoWatermark() {
    long now = System.currentTimeMillis();
    assertEquals(now, packed(9, 99, record(0, 1, now, "a"), record(0, 2, Long.MAX_VALUE, "b")).get(0).timestamp());
    assertEquals(0, packed(9, 99, record(0, 1, now + 2 * TOLERANCE, "a"), record(0, 2, -1, "b")).get(0).timestamp());
  }

  @Test
  void nothingStaysNothing() {
    assertTrue(packed(9, 99).isEmpty());
  }

  @SafeVarargs
  private static List<ConsumerRecord<byte[], byte[]>> packed(
      int maxRecords, int maxBytes, ConsumerRecord<byte[], byte[]>... records) {
    Map<TopicPartition, List<ConsumerRecord<byte[], byte[]>>> polled = new HashMap<>();
    for (ConsumerRecord<byte[], byte[]> each : records) {
      polled.computeIfAbsent(new TopicPartition(each.topic(), each.partition()), partition -> new ArrayList<>()).add(each);
    }
    try (PackRecords interceptor = new PackRecords()) {
      interceptor.configure(
          Map.of(
              PackRecords.RECORDS_SETTING, "" + maxRecords,
              PackRecords.BYTES_SETTING, "" + maxBytes,
              PackRecords.TOLERANCE_SETTING, "" + TOLERANCE));
      List<ConsumerRecord<byte[], byte[]>> packs = new ArrayList<>();
      interceptor.onConsume(new ConsumerRecords<>(polled)).forEach(packs::add);
      return packs;
    }
  }

  private static ConsumerRecord<byte[], byte[]> record(int partition, long offset, long timestamp, String text) {
    byte[] value = text == null ? null : text.getBytes();
    int size = value == null ? ConsumerRecord.NULL_SIZE : value.length;
    return new ConsumerRecord<>(
        "posts", partition, offset, timestamp, TimestampType.CREATE_TIME, 0, size, null, value, new RecordHeaders(), Optional.empty());
  }
}
