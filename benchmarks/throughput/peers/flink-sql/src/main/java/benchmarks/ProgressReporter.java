package benchmarks;

import java.util.Locale;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.Properties;
import org.apache.flink.metrics.Counter;
import org.apache.flink.metrics.Metric;
import org.apache.flink.metrics.MetricConfig;
import org.apache.flink.metrics.MetricGroup;
import org.apache.flink.metrics.reporter.MetricReporter;
import org.apache.flink.metrics.reporter.MetricReporterFactory;
import org.apache.flink.metrics.reporter.Scheduled;

/** Prints, each time that Flink asks for it, how many records the sources have read since the last time. */
public final class ProgressReporter implements MetricReporter, MetricReporterFactory, Scheduled {
  private final Map<String, Counter> sources = new ConcurrentHashMap<>();
  private double began = now();
  private long printed;

  @Override
  public MetricReporter createMetricReporter(Properties properties) {
    return new ProgressReporter();
  }

  @Override
  public void open(MetricConfig config) {}

  /** Prints what was read in the end: tasks that have ended report nothing more, but their counters still stand. */
  @Override
  public void close() {
    report();
  }

  @Override
  public void notifyOfAddedMetric(Metric metric, String name, MetricGroup group) {
    String operator = group.getAllVariables().getOrDefault("<operator_name>", "");
    if (name.equals("numRecordsIn") && operator.startsWith("Source")) {
      sources.put(group.getMetricIdentifier(name), (Counter) metric);
    }
  }

  @Override
  public void notifyOfRemovedMetric(Metric metric, String name, MetricGroup group) {}

  @Override
  public synchronized void report() {
    long read = sources.values().stream().mapToLong(Counter::getCount).sum();
    double ended = now();
    if (read > printed) {
      System.out.printf(
          Locale.ROOT, "{\"began\": %.3f, \"ended\": %.3f, \"posts\": %d}%n", began, ended, read - printed);
      printed = read;
    }
    began = ended;
  }

  private static double now() {
    return System.currentTimeMillis() / 1000.0;
  }
}
