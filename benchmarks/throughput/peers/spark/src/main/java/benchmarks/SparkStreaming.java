package benchmarks;

import static org.apache.spark.sql.functions.array_distinct;
import static org.apache.spark.sql.functions.col;
import static org.apache.spark.sql.functions.explode;
import static org.apache.spark.sql.functions.from_json;
import static org.apache.spark.sql.functions.split;
import static org.apache.spark.sql.functions.unix_timestamp;
import static org.apache.spark.sql.functions.window;

import java.time.Instant;
import java.util.Locale;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.SparkSession;
import org.apache.spark.sql.streaming.StreamingQueryListener;
import org.apache.spark.sql.streaming.Trigger;
import org.apache.spark.sql.types.StructType;

/**
 * Counts posts per word and quarter of an hour with Spark Structured Streaming, to the present end of a topic.
 *
 * <p>Arguments: Kafka servers, topic, and a folder that gets {@code counts/} and {@code open/} (JSON: window start in epoch
 * seconds, word, posts), of windows that have closed and of those still open at the end. Standard output tells the progress.
 */
public final class SparkStreaming {
  private static final StructType POST = StructType.fromDDL("itemInfos STRUCT<text: STRING>, time_stamp DOUBLE");

  private SparkStreaming() {}

  public static void main(String[] args) throws Exception {
    String checkpoint = args[2] + "/checkpoint";
    SparkSession spark = session();
    spark.streams().addListener(new Progress());
    Dataset<Row> words =
        spark
            .readStream()
            .format("kafka")
            .option("kafka.bootstrap.servers", args[0])
            .option("subscribe", args[1])
            .option("startingOffsets", "earliest")
            .option("maxOffsetsPerTrigger", Long.getLong("posts.per.trigger", 200_000))
            .option("kafka.max.poll.records", 5_000)
            .option("kafka.max.partition.fetch.bytes", 8 << 20)
            .load()
            .select(from_json(col("value").cast("string"), POST).as("post"))
            .select(
                col("post.time_stamp").cast("timestamp").as("at"),
                explode(array_distinct(split(col("post.itemInfos.text"), " "))).as("word"));
    Dataset<Row> counts =
        words
            .withWatermark("at", "5 seconds")
            .groupBy(window(col("at"), "15 minutes"), col("word"))
            .count()
            .select(unix_timestamp(col("window.start")).as("window_start"), col("word"), col("count").as("posts"));
    counts
        .writeStream()
        .outputMode("append")
        .trigger(Trigger.AvailableNow())
        .option("checkpointLocation", checkpoint)
        .format("json")
        .start(args[2] + "/counts")
        .awaitTermination();
    // The watermark cannot pass the last posts, so their windows are open still: their counts are in the state.
    spark
        .read()
        .format("statestore")
        .load(checkpoint)
        .select(
            unix_timestamp(col("key.window.start")).as("window_start"),
            col("key.word"),
            col("value.count").as("posts"))
        .write()
        .json(args[2] + "/open");
    spark.stop();
  }

  private static SparkSession session() {
    return SparkSession.builder()
        .master("local[2]")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.ui.enabled", false)
        .config("spark.sql.shuffle.partitions", Integer.getInteger("shuffle.partitions", 2)) // as many as cores
        .config(
            "spark.sql.streaming.stateStore.providerClass",
            "org.apache.spark.sql.execution.streaming.state."
                + System.getProperty("state.store", "HDFSBackedStateStoreProvider"))
        .config("spark.sql.session.timeZone", "UTC")
        .getOrCreate();
  }

  /** Prints each micro-batch: when it began and ended, and the posts that it read. */
  private static final class Progress extends StreamingQueryListener {
    @Override
    public void onQueryStarted(QueryStartedEvent event) {}

    @Override
    public void onQueryProgress(QueryProgressEvent event) {
      var progress = event.progress();
      if (progress.numInputRows() > 0) {
        double began = Instant.parse(progress.timestamp()).toEpochMilli() / 1000.0;
        double ended = began + progress.batchDuration() / 1000.0;
        System.out.printf(
            Locale.ROOT,
            "{\"began\": %.3f, \"ended\": %.3f, \"posts\": %d}%n",
            began, ended, progress.numInputRows());
      }
    }

    @Override
    public void onQueryTerminated(QueryTerminatedEvent event) {}
  }
}
