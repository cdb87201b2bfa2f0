package org.apache.beam.runners.fnexecution.control;

import java.util.HashMap;
import java.util.Map;
import org.apache.beam.model.fnexecution.v1.BeamFnApi.BundleApplication;
import org.apache.beam.model.fnexecution.v1.BeamFnApi.DelayedBundleApplication;
import org.apache.beam.model.fnexecution.v1.BeamFnApi.ProcessBundleResponse;
import org.apache.beam.runners.core.StateInternals;
import org.apache.beam.runners.core.StateInternalsFactory;
import org.apache.beam.runners.core.StateNamespace;
import org.apache.beam.runners.core.StateNamespaces;
import org.apache.beam.runners.core.StateTags;
import org.apache.beam.runners.core.TimerInternalsFactory;
import org.apache.beam.sdk.coders.Coder;
import org.apache.beam.sdk.coders.CoderException;
import org.apache.beam.sdk.state.TimeDomain;
import org.apache.beam.sdk.transforms.windowing.BoundedWindow;
import org.apache.beam.sdk.util.CoderUtils;
import org.apache.beam.sdk.values.WindowedValue;
import org.apache.beam.sdk.values.WindowedValues;
import org.apache.beam.vendor.grpc.v1p69p0.com.google.protobuf.Duration;
import org.apache.beam.vendor.grpc.v1p69p0.com.google.protobuf.Timestamp;
import org.joda.time.Instant;

/**
 * Keeps what a splittable DoFn has still to do until it goes on. It stands in for Beam 2.70's class of this name, which
 * makes a new Flink state for each hand-over and never drops one (apache/beam issue 27648): a reader that hands over once
 * a second would fill the heap, and its checkpoints, within hours. Its jar comes first on the class path.
 *
 * <p>Here an element has one state, which each hand-over overwrites. That is enough for a runner which never splits a
 * bundle: an element has at most one rest at a time. Equal elements must not be processed at the same time. Beside that,
 * delays and watermarks keep their fractions of a second.
 */
public final class BundleCheckpointHandlers {
  private BundleCheckpointHandlers() {}

  /** Puts the rest into state and sets a timer that brings it back. */
  public static final class StateAndTimerBundleCheckpointHandler<T> implements BundleCheckpointHandler {
    /** How the operator knows these timers from others. */
    public static final String SDF_PREFIX = "sdf_checkpoint";

    private final TimerInternalsFactory<T> timers;
    private final StateInternalsFactory<T> states;
    private final Coder<WindowedValue<T>> restCoder;
    private final Coder<BoundedWindow> windowCoder;

    @SuppressWarnings({"rawtypes", "unchecked"}) // the operator knows no window type
    public StateAndTimerBundleCheckpointHandler(
        TimerInternalsFactory<T> timers,
        StateInternalsFactory<T> states,
        Coder<WindowedValue<T>> restCoder,
        Coder windowCoder) {
      this.timers = timers;
      this.states = states;
      this.restCoder = restCoder;
      this.windowCoder = (Coder<BoundedWindow>) windowCoder;
    }

    public static boolean isSdfTimer(String timerId) {
      return timerId.startsWith(SDF_PREFIX);
    }

    @Override
    public void onCheckpoint(ProcessBundleResponse response) {
      Map<Object, Integer> restsOfKey = new HashMap<>();
      for (DelayedBundleApplication delayed : response.getResidualRootsList()) {
        if (delayed.hasApplication()) {
          keep(delayed, restsOfKey);
        }
      }
    }

    private void keep(DelayedBundleApplication delayed, Map<Object, Integer> restsOfKey) {
      BundleApplication application = delayed.getApplication();
      WindowedValue<T> rest;
      try {
        rest = CoderUtils.decodeFromByteArray(restCoder, application.getElement().toByteArray());
      } catch (CoderException error) {
        throw new IllegalStateException("Cannot read what a splittable DoFn has left to do", error);
      }
      StateInternals state = states.stateInternalsForKey(rest.getValue());
      String tag = SDF_PREFIX + ":" + restsOfKey.merge(state.getKey(), 1, Integer::sum);
      Instant due = Instant.now().plus(millis(delayed.getRequestedTimeDelay()));
      Instant hold = watermark(application);
      for (BoundedWindow window : rest.getWindows()) {
        StateNamespace namespace = StateNamespaces.window(windowCoder, window);
        timers
            .timerInternalsForKey(rest.getValue())
            .setTimer(namespace, tag, "", due, hold, TimeDomain.PROCESSING_TIME);
        state
            .state(namespace, StateTags.value(tag, restCoder))
            .write(WindowedValues.of(rest.getValue(), rest.getTimestamp(), window, rest.getPaneInfo()));
      }
    }

    /** The least watermark of the outputs, which the operator must not overtake; none was told at first. */
    private static Instant watermark(BundleApplication application) {
      return application.getOutputWatermarksMap().values().stream()
          .map(BundleCheckpointHandlers::instant)
          .min(Instant::compareTo)
          .orElse(BoundedWindow.TIMESTAMP_MIN_VALUE);
    }
  }

  private static Instant instant(Timestamp time) {
    return Instant.ofEpochMilli(time.getSeconds() * 1000 + time.getNanos() / 1_000_000);
  }

  private static long millis(Duration duration) {
    return duration.getSeconds() * 1000 + duration.getNanos() / 1_000_000;
  }
}
