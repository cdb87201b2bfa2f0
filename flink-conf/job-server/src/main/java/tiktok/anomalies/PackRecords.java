package tiktok.anomalies;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.apache.kafka.clients.consumer.ConsumerInterceptor;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.internals.RecordHeaders;
import org.msgpack.core.MessageBufferPacker;
import org.msgpack.core.MessagePack;

/**
 * Packs what a Kafka consumer has polled: each run of consecutive offsets of a partition becomes one record. {@code
 * ReadFromKafka} then pays per pack, not per record, for the way through Flink's source, the operators behind it, Beam's Java
 * harness and into Python. It is named among the consumer's settings, {@code interceptor.classes}.
 *
 * <p>A pack has the offset of its last record, so whoever goes on behind it misses nothing and repeats nothing. Its timestamp,
 * which moves the watermark, is the latest that can be true: Kafka takes any from a producer, and one from the far future
 * would make all later posts late. Its value is the msgpack array that {@code RawBatch.from_bytes} reads: topic, partition,
 * first offset, timestamps, values.
 */
public final class PackRecords implements ConsumerInterceptor<byte[], byte[]> {
  /** Setting: how far ahead of the clock a timestamp may be, milliseconds. */
  public static final String TOLERANCE_SETTING = "pack.future.tolerance.ms";

  /** Setting: records in a pack at most. */
  public static final String RECORDS_SETTING = "pack.max.records";

  /** Setting: bytes of values in a pack at most, but for its last record. */
  public static final String BYTES_SETTING = "pack.max.bytes";

  private static final byte[] NOTHING = new byte[0];

  private long toleranceMs;
  private int maxRecords;
  private int maxBytes;

  @Override
  public void configure(Map<String, ?> settings) {
    toleranceMs = number(settings, TOLERANCE_SETTING);
    maxRecords = Math.toIntExact(number(settings, RECORDS_SETTING));
    maxBytes = Math.toIntExact(number(settings, BYTES_SETTING));
  }

  @Override
  public ConsumerRecords<byte[], byte[]> onConsume(ConsumerRecords<byte[], byte[]> records) {
    long latestMs = System.currentTimeMillis() + toleranceMs;
    Map<TopicPartition, List<ConsumerRecord<byte[], byte[]>>> packed = new HashMap<>();
    for (TopicPartition partition : records.partitions()) {
      packed.put(partition, pack(records.records(partition), latestMs));
    }
    return new ConsumerRecords<>(packed);
  }

  @Override
  public void onCommit(Map<TopicPartition, OffsetAndMetadata> offsets) {}

  @Override
  public void close() {}

  private static long number(Map<String, ?> settings, String name) {
    return Long.parseLong(String.valueOf(settings.get(name)));
  }

  private List<ConsumerRecord<byte[], byte[]>> pack(List<ConsumerRecord<byte[], byte[]>> records, long latestMs) {
    List<ConsumerRecord<byte[], byte[]>> packed = new ArrayList<>();
    int begin = 0;
    int bytes = 0;
    for (int end = 1; end <= records.size(); end++) {
      ConsumerRecord<byte[], byte[]> last = records.get(end - 1);
      bytes += Math.max(last.serializedValueSize(), 0);
      if (end == records.size()
          || end - begin == maxRecords
          || bytes >= maxBytes
          || records.get(end).offset() != last.offset() + 1) { // a compacted or transactional topic has gaps
        packed.add(packRun(records.subList(begin, end), latestMs));
        begin = end;
        bytes = 0;
      }
    }
    return packed;
  }

  private static ConsumerRecord<byte[], byte[]> packRun(List<ConsumerRecord<byte[], byte[]>> run, long latestMs) {
    ConsumerRecord<byte[], byte[]> last = run.get(run.size() - 1);
    long timestamp = 0;
    for (ConsumerRecord<byte[], byte[]> record : run) {
      if (record.timestamp() <= latestMs) {
        timestamp = Math.max(timestamp, record.timestamp());
      }
    }
    byte[] value = bytes(run);
    return new ConsumerRecord<>(
        last.topic(),
        last.partition(),
        last.offset(),
        timestamp,
        last.timestampType(),
        NOTHING.length,
        value.length,
        NOTHING,
        value,
        new RecordHeaders(),
        Optional.empty());
  }

  private static byte[] bytes(List<ConsumerRecord<byte[], byte[]>> run) {
    ConsumerRecord<byte[], byte[]> first = run.get(0);
    try (MessageBufferPacker packer = MessagePack.newDefaultBufferPacker()) {
      packer.packArrayHeader(5).packString(first.topic()).packInt(first.partition()).packLong(first.offset());
      packer.packArrayHeader(run.size());
      for (ConsumerRecord<byte[], byte[]> record : run) {
        packer.packLong(record.timestamp());
      }
      packer.packArrayHeader(run.size());
      for (ConsumerRecord<byte[], byte[]> record : run) {
        byte[] value = record.value() == null ? NOTHING : record.value(); // a tombstone
        packer.packBinaryHeader(value.length).addPayload(value);
      }
      return packer.toByteArray();
    } catch (IOException error) {
      throw new UncheckedIOException(error); // cannot be: it packs in memory
    }
  }
}
