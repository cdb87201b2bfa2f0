package tiktok.anomalies;

import java.nio.file.Path;
import java.util.Arrays;
import org.apache.beam.runners.flink.FlinkJobServerDriver;
import org.apache.beam.sdk.expansion.service.ExpansionService;
import org.apache.beam.sdk.io.FileSystems;
import org.apache.beam.sdk.options.PipelineOptionsFactory;
import org.slf4j.simple.SimpleLogger;

/**
 * Starts Beam's Flink job server or, when the first argument is {@code expansion}, its expansion service.
 *
 * <p>Both would stage every jar of their class path with each job. Here the Flink cluster has Beam's jars on its own class
 * path, so next to nothing is staged: submission takes seconds less, and no class loader (with its metaspace) is made per
 * job. {@code -Dstage.jars=true} stages them, for a cluster that has only Flink's own jars.
 */
public final class Launcher {
  private Launcher() {}

  public static void main(String[] args) throws Exception {
    boolean expansion = args.length > 0 && args[0].equals("expansion");
    if (!Boolean.getBoolean("stage.jars")) {
      // Beam finds what to stage by reading this property; classes are already found without it. The expansion service
      // insists on one file: a small one that the cluster never loads.
      System.setProperty("java.class.path", expansion ? jarOf(SimpleLogger.class) : "");
    }
    if (expansion) {
      ExpansionService.main(Arrays.copyOfRange(args, 1, args.length));
    } else {
      // What FlinkJobServerDriver.main does, without its options of Google Cloud Storage, whose jars are left out.
      FileSystems.setDefaultPipelineOptions(PipelineOptionsFactory.create());
      FlinkJobServerDriver.fromParams(args).run();
    }
  }

  private static String jarOf(Class<?> type) throws Exception {
    return Path.of(type.getProtectionDomain().getCodeSource().getLocation().toURI()).toString();
  }
}
