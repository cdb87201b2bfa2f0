package tiktok.anomalies;

import java.io.IOException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.beam.sdk.coders.ByteArrayCoder;
import org.apache.beam.sdk.expansion.ExternalTransformRegistrar;
import org.apache.beam.sdk.schemas.Schema;
import org.apache.beam.sdk.transforms.DoFn;
import org.apache.beam.sdk.transforms.ExternalTransformBuilder;
import org.apache.beam.sdk.transforms.PTransform;
import org.apache.beam.sdk.transforms.ParDo;
import org.apache.beam.sdk.transforms.windowing.GlobalWindow;
import org.apache.beam.sdk.values.PCollection;
import org.apache.beam.sdk.values.Row;
import org.joda.time.Instant;
import org.msgpack.core.MessageBufferPacker;
import org.msgpack.core.MessagePack;

/**
 * Packs the rows of {@code ReadFromKafka(with_metadata=True)} into batches, in the JVM: runs of consecutive offsets of one
 * partition, within a bundle. Row by row the records would cross to Python one at a time, each decoded there field by field.
 *
 * <p>A batch is the msgpack array that {@code RawBatch.from_bytes} reads: topic, partition, first offset, timestamps, values.
 */
public final class PackRecords extends PTransform<PCollection<Row>, PCollection<byte[]>> {
  public static final String URN = "tiktok:transform:pack_records:v1";

  private final int maxBatch;

  private PackRecords(int maxBatch) {
    this.maxBatch = maxBatch;
  }

  @Override
  public PCollection<byte[]> expand(PCollection<Row> records) {
    return records.apply("Pack", ParDo.of(new PackFn(records.getSchema(), maxBatch))).setCoder(ByteArrayCoder.of());
  }

  /** Finds the transform by its name, for the expansion service. */
  public static final class Registrar implements ExternalTransformRegistrar {
    @Override
    public Map<String, ExternalTransformBuilder<?, ?, ?>> knownBuilderInstances() {
      return Map.of(URN, new Builder());
    }
  }

  /** What Python says of it. */
  public static final class Configuration {
    private Long maxBatch;

    public void setMaxBatch(Long maxBatch) {
      this.maxBatch = maxBatch;
    }
  }

  private static final class Builder
      implements ExternalTransformBuilder<Configuration, PCollection<Row>, PCollection<byte[]>> {
    @Override
    public PTransform<PCollection<Row>, PCollection<byte[]>> buildExternal(Configuration configuration) {
      return new PackRecords(Math.toIntExact(configuration.maxBatch));
    }
  }

  private static final class PackFn extends DoFn<Row, byte[]> {
    private final int topic;
    private final int partition;
    private final int offset;
    private final int timestamp;
    private final int value;
    private final int maxBatch;
    private transient Map<String, Map<Integer, Batch>> open;

    PackFn(Schema schema, int maxBatch) {
      topic = schema.indexOf("topic");
      partition = schema.indexOf("partition");
      offset = schema.indexOf("offset");
      timestamp = schema.indexOf("timestamp");
      value = schema.indexOf("value");
      this.maxBatch = maxBatch;
    }

    @StartBundle
    public void startBundle() {
      open = new HashMap<>();
    }

    @ProcessElement
    public void process(@Element Row row, OutputReceiver<byte[]> output) throws IOException {
      long at = row.getInt64(offset);
      Map<Integer, Batch> ofTopic = open.computeIfAbsent(row.getString(topic), name -> new HashMap<>());
      Batch batch = ofTopic.get(row.getInt32(partition));
      if (batch == null || at != batch.next() || batch.values.size() == maxBatch) {
        if (batch != null) {
          output.output(batch.pack());
        }
        batch = new Batch(row.getString(topic), row.getInt32(partition), at);
        ofTopic.put(batch.partition, batch);
      }
      batch.add(row.getInt64(timestamp), row.getBytes(value));
    }

    @FinishBundle
    public void finishBundle(FinishBundleContext context) throws IOException {
      for (Map<Integer, Batch> ofTopic : open.values()) {
        for (Batch batch : ofTopic.values()) {
          context.output(batch.pack(), Instant.ofEpochMilli(batch.timestamps.get(0)), GlobalWindow.INSTANCE);
        }
      }
      open = null;
    }
  }

  /** Consecutive records of a partition. */
  private static final class Batch {
    private static final byte[] TOMBSTONE = new byte[0];

    final int partition;
    final List<Long> timestamps = new ArrayList<>();
    final List<byte[]> values = new ArrayList<>();
    private final String topic;
    private final long firstOffset;

    Batch(String topic, int partition, long firstOffset) {
      this.topic = topic;
      this.partition = partition;
      this.firstOffset = firstOffset;
    }

    long next() {
      return firstOffset + values.size();
    }

    void add(long timestampMs, byte[] value) {
      timestamps.add(timestampMs);
      values.add(value == null ? TOMBSTONE : value);
    }

    byte[] pack() throws IOException {
      try (MessageBufferPacker packer = MessagePack.newDefaultBufferPacker()) {
        packer.packArrayHeader(5).packString(topic).packInt(partition).packLong(firstOffset);
        packer.packArrayHeader(timestamps.size());
        for (long each : timestamps) {
          packer.packLong(each);
        }
        packer.packArrayHeader(values.size());
        for (byte[] each : values) {
          packer.packBinaryHeader(each.length).addPayload(each);
        }
        return packer.toByteArray();
      }
    }
  }
}
