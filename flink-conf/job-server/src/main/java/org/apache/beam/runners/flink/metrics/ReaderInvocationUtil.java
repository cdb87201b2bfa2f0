package org.apache.beam.runners.flink.metrics;

import java.io.Closeable;
import java.io.IOException;
import org.apache.beam.runners.flink.FlinkPipelineOptions;
import org.apache.beam.sdk.io.Source;
import org.apache.beam.sdk.metrics.MetricsEnvironment;
import org.apache.beam.sdk.options.PipelineOptions;

/**
 * Moves a reader on, and passes its metrics to Flink twice a second. Beam 2.70's class of this name, which it stands in for,
 * passes them at every record: half of the source thread's time.
 */
public class ReaderInvocationUtil<OutputT, ReaderT extends Source.Reader<OutputT>> {
  private static final long PERIOD_NANOS = 500_000_000;

  private final String step;
  private final FlinkMetricContainerBase container;
  private final boolean enabled;
  private long next = System.nanoTime();

  public ReaderInvocationUtil(String step, PipelineOptions options, FlinkMetricContainerBase container) {
    this.step = step;
    this.container = container;
    enabled = !options.as(FlinkPipelineOptions.class).getDisableMetrics();
  }

  public boolean invokeStart(ReaderT reader) throws IOException {
    return move(reader::start);
  }

  public boolean invokeAdvance(ReaderT reader) throws IOException {
    return move(reader::advance);
  }

  private boolean move(Step move) throws IOException {
    if (!enabled) {
      return move.take();
    }
    try (Closeable scope = MetricsEnvironment.scopedMetricsContainer(container.getMetricsContainer(step))) {
      boolean found = move.take();
      long now = System.nanoTime();
      if (now - next >= 0) {
        next = now + PERIOD_NANOS;
        container.updateMetrics(step);
      }
      return found;
    }
  }

  private interface Step {
    boolean take() throws IOException;
  }
}
