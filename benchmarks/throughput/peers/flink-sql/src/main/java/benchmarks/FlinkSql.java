package benchmarks;

import org.apache.flink.configuration.Configuration;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.table.api.bridge.java.StreamTableEnvironment;

/**
 * Counts posts per word and quarter of an hour with Flink SQL, to the present end of a topic.
 *
 * <p>Arguments: Kafka servers, topic, and a folder that gets {@code counts/} (JSON: window start in epoch seconds, word,
 * posts). Standard output tells the progress ({@link ProgressReporter}).
 */
public final class FlinkSql {
  private static final String POSTS =
      """
      CREATE TABLE posts (
        itemInfos ROW<text STRING>,
        time_stamp DOUBLE,
        posted AS TO_TIMESTAMP_LTZ(CAST(time_stamp * 1000 AS BIGINT), 3),
        WATERMARK FOR posted AS posted - INTERVAL '5' SECOND
      ) WITH (
        'connector' = 'kafka',
        'properties.bootstrap.servers' = '%s',
        'topic' = '%s',
        'scan.startup.mode' = 'earliest-offset',
        'scan.bounded.mode' = 'latest-offset',
        'properties.max.poll.records' = '5000',
        'properties.max.partition.fetch.bytes' = '8388608',
        'format' = 'json'
      )""";
  private static final String COUNTS =
      """
      CREATE TABLE counts (window_start INT, word STRING, posts BIGINT)
      WITH ('connector' = 'filesystem', 'path' = 'file://%s/counts', 'format' = 'json')""";
  private static final String COUNT =
      """
      INSERT INTO counts
      SELECT TIMESTAMPDIFF(SECOND, TIMESTAMP '1970-01-01 00:00:00', window_start), word, COUNT(*)
      FROM TUMBLE(
        DATA => (
          SELECT posted, word
          FROM posts CROSS JOIN UNNEST(ARRAY_DISTINCT(SPLIT(itemInfos.text, ' '))) AS words (word)
        ),
        TIMECOL => DESCRIPTOR(posted),
        SIZE => INTERVAL '15' MINUTES
      )
      GROUP BY window_start, window_end, word""";

  private FlinkSql() {}

  public static void main(String[] args) throws Exception {
    var tables =
        StreamTableEnvironment.create(StreamExecutionEnvironment.createLocalEnvironment(2, settings(args[2])));
    tables.executeSql(POSTS.formatted(args[0], args[1]));
    tables.executeSql(COUNTS.formatted(args[2]));
    tables.executeSql(COUNT).await();
  }

  private static Configuration settings(String folder) {
    var settings = new Configuration();
    settings.setString("pipeline.object-reuse", "true");
    settings.setString("state.backend.type", "hashmap");
    settings.setString("execution.checkpointing.interval", "10 s"); // as the stream's own
    settings.setString("execution.checkpointing.dir", "file://" + folder + "/checkpoints");
    // Words are counted before the exchange, and state is touched once per batch of them.
    settings.setString("table.optimizer.agg-phase-strategy", "TWO_PHASE");
    settings.setString("table.exec.mini-batch.enabled", "true");
    settings.setString("table.exec.mini-batch.allow-latency", "1 s");
    settings.setString("table.exec.mini-batch.size", "50000");
    settings.setString("table.exec.window-agg.buffer-size-limit", "1000000");
    settings.setString("taskmanager.memory.managed.size", "512m"); // where these batches lie
    settings.setString("taskmanager.memory.network.min", "128m");
    settings.setString("taskmanager.memory.network.max", "128m");
    settings.setString("table.local-time-zone", "UTC");
    settings.setString("rest.port", "0");
    settings.setString("rest.bind-address", "127.0.0.1");
    settings.setString("metrics.reporter.progress.factory.class", ProgressReporter.class.getName());
    settings.setString("metrics.reporter.progress.interval", "250 ms");
    return settings;
  }
}
