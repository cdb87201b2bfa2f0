package org.apache.beam.runners.flink.translation.functions;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import org.apache.beam.runners.fnexecution.control.DefaultExecutableStageContext;
import org.apache.beam.runners.fnexecution.control.ExecutableStageContext;
import org.apache.beam.runners.fnexecution.control.ReferenceCountingExecutableStageContextFactory;
import org.apache.beam.runners.fnexecution.control.StageBundleFactory;
import org.apache.beam.runners.fnexecution.provisioning.JobInfo;
import org.apache.beam.sdk.options.PortablePipelineOptions;
import org.apache.beam.sdk.util.construction.PipelineOptionsTranslation;
import org.apache.beam.sdk.util.construction.graph.ExecutableStage;
import org.apache.beam.vendor.grpc.v1p69p0.com.google.protobuf.Struct;
import org.apache.beam.vendor.grpc.v1p69p0.com.google.protobuf.Value;
import org.apache.flink.api.java.ExecutionEnvironment;

/**
 * Gives the parallel instances of a stage to different SDK workers. It stands in for Beam 2.70's class of this name, with
 * which workers are dealt to the instances of all stages together, in the order in which Flink's threads happen to open
 * them. Then two readers of a topic could meet in one Python process, under one lock, while the other worker stayed idle:
 * half the throughput, in some starts and not in others.
 */
public class FlinkExecutableStageContextFactory implements ExecutableStageContext.Factory {
  private static final String WORKERS_OPTION = "beam:option:sdk_worker_parallelism:v1";
  private static final FlinkExecutableStageContextFactory INSTANCE = new FlinkExecutableStageContextFactory();
  private static final long ENDED_AFTER_NANOS = TimeUnit.MINUTES.toNanos(10);
  private static final Map<String, Workers> JOBS = new ConcurrentHashMap<>();

  private FlinkExecutableStageContextFactory() {}

  public static FlinkExecutableStageContextFactory getInstance() {
    return INSTANCE;
  }

  @Override
  public ExecutableStageContext get(JobInfo job) {
    JOBS.values().removeIf(Workers::isOver);
    return new Context(JOBS.computeIfAbsent(job.jobId(), id -> new Workers(job)));
  }

  /** The context of one instance of one stage; which worker it is on is settled when the stage is known. */
  private static final class Context implements ExecutableStageContext {
    private final Workers workers;
    private Worker worker;
    private String stage;
    private ExecutableStageContext context;

    Context(Workers workers) {
      this.workers = workers;
    }

    @Override
    public synchronized StageBundleFactory getStageBundleFactory(ExecutableStage executable) {
      if (context == null) {
        stage = executable.getInputPCollection().getId();
        worker = workers.take(stage);
        context = worker.contexts.get(workers.job);
      }
      return context.getStageBundleFactory(executable);
    }

    @Override
    public synchronized void close() throws Exception {
      if (context != null) {
        try {
          context.close();
        } finally {
          context = null;
          workers.giveBack(worker, stage);
        }
      }
    }
  }

  /** The workers of a job in this task manager. */
  private static final class Workers {
    /** The job as one worker's context is to see it: with a single worker. */
    final JobInfo job;

    private final List<Worker> workers = new ArrayList<>();
    private long usedAt = System.nanoTime();

    Workers(JobInfo job) {
      Struct options = job.pipelineOptions();
      this.job =
          JobInfo.create(
              job.jobId(),
              job.jobName(),
              job.retrievalToken(),
              options.toBuilder().putFields(WORKERS_OPTION, Value.newBuilder().setStringValue("1").build()).build());
      Integer asked = PipelineOptionsTranslation.fromProto(options).as(PortablePipelineOptions.class).getSdkWorkerParallelism();
      // 0 is Beam's word for "all cores but one".
      int count = asked == null ? 1 : asked > 0 ? asked : Math.max(Runtime.getRuntime().availableProcessors() - 1, 1);
      for (int i = 0; i < count; i++) {
        workers.add(new Worker());
      }
    }

    /** Chooses the worker that has the fewest instances of a stage; among equals, the fewest of all stages. */
    synchronized Worker take(String stage) {
      Comparator<Worker> bySame = Comparator.comparingInt(worker -> worker.instances.getOrDefault(stage, 0));
      Worker chosen = workers.stream().min(bySame.thenComparingInt(Worker::total)).orElseThrow();
      chosen.instances.merge(stage, 1, Integer::sum);
      return chosen;
    }

    synchronized void giveBack(Worker worker, String stage) {
      worker.instances.merge(stage, -1, Integer::sum);
      usedAt = System.nanoTime();
    }

    /** Whether the job has ended: one that is started again after a fault finds its workers still there. */
    synchronized boolean isOver() {
      return System.nanoTime() - usedAt > ENDED_AFTER_NANOS && workers.stream().allMatch(worker -> worker.total() == 0);
    }
  }

  private static final class Worker {
    final Map<String, Integer> instances = new HashMap<>();

    // As in Beam: classes of the job itself leave with it, so what they hold is released at once.
    final ExecutableStageContext.Factory contexts =
        ReferenceCountingExecutableStageContextFactory.create(
            DefaultExecutableStageContext::create,
            caller -> caller.getClass().getClassLoader() != ExecutionEnvironment.class.getClassLoader());

    int total() {
      return instances.values().stream().mapToInt(Integer::intValue).sum();
    }
  }
}
