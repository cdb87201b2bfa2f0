package tiktok.anomalies;

import java.nio.file.Path;
import java.util.Arrays;
import org.apache.beam.runners.flink.FlinkJobServerDriver;
import org.apache.beam.sdk.expansion.service.ExpansionServer;
import org.apache.beam.sdk.expansion.service.ExpansionService;
import org.apache.beam.sdk.io.FileSystems;
import org.apache.beam.sdk.options.PipelineOptionsFactory;
import org.slf4j.simple.SimpleLogger;

/**
 * Starts Beam's Java side. The first argument chooses:
 *
 * <ul>
 *   <li>{@code serve OPTIONS…} job server and expansion service of ReadFromKafka in one process. It says where they listen,
 *       and ends when its standard input does: that is when the program that started it is gone.
 *   <li>{@code expansion PORT OPTIONS…} an expansion service alone, as Beam's Python SDK starts it.
 *   <li>anything else: a job server alone, as Beam's Python SDK starts it.
 * </ul>
 *
 * <p>Both would stage every jar of their class path with each job. Here the Flink cluster has Beam's jars on its own class
 * path, so next to nothing is staged: submission takes seconds less, and the task managers load no class anew per job.
 * {@code -Dstage.jars=true} stages them, for a cluster that has only Flink's own jars.
 */
public final class Launcher {
  private Launcher() {}

  public static void main(String[] args) throws Exception {
    if (!Boolean.getBoolean("stage.jars")) {
      // Beam finds what to stage by reading this property; classes are already found without it. The expansion service
      // insists on one file: a small one that the cluster never loads.
      System.setProperty("java.class.path", jarOf(SimpleLogger.class));
    }
    String mode = args.length > 0 ? args[0] : "";
    if (mode.equals("expansion")) {
      ExpansionService.main(Arrays.copyOfRange(args, 1, args.length));
      return;
    }
    // What FlinkJobServerDriver.main does, without its options of Google Cloud Storage, whose jars are left out.
    FileSystems.setDefaultPipelineOptions(PipelineOptionsFactory.create());
    if (mode.equals("serve")) {
      serve(FlinkJobServerDriver.fromParams(Arrays.copyOfRange(args, 1, args.length)));
      System.exit(0); // Flink's client and Beam leave threads behind
    }
    FlinkJobServerDriver.fromParams(args).run();
  }

  private static void serve(FlinkJobServerDriver driver) throws Exception {
    String jobs = driver.start();
    ExpansionService kafka =
        new ExpansionService(
            new String[] {
              "--defaultEnvironmentType=EMBEDDED", // in the task manager; the default is a Docker container
              "--experiments=use_deprecated_read" // a native Flink source, whose offsets are in Flink's checkpoints
            });
    try (ExpansionServer expansions = ExpansionServer.create(kafka, "localhost", 0)) {
      System.out.println("READY job=" + jobs + " expansion=localhost:" + expansions.getPort());
      while (System.in.read() >= 0) {}
    } finally {
      driver.stop();
    }
  }

  private static String jarOf(Class<?> type) throws Exception {
    return Path.of(type.getProtectionDomain().getCodeSource().getLocation().toURI()).toString();
  }
}
