package tiktok.anomalies;

import java.util.Arrays;
import org.apache.beam.runners.flink.FlinkJobServerDriver;
import org.apache.beam.sdk.expansion.service.ExpansionService;

/**
 * Starts Beam's Flink job server or, when the first argument is {@code expansion}, its expansion service.
 *
 * <p>Both would stage every jar of their class path with each job. Here the Flink cluster has Beam's jars on its own class
 * path, so nothing is staged: submission takes seconds less, and no class loader (with its metaspace) is made per job.
 * {@code -Dstage.jars=true} stages them, for a cluster that has only Flink's own jars.
 */
public final class Launcher {
  private Launcher() {}

  public static void main(String[] args) throws Exception {
    if (!Boolean.getBoolean("stage.jars")) {
      // Beam finds what to stage by reading this property; classes are already found without it.
      System.setProperty("java.class.path", "");
    }
    if (args.length > 0 && args[0].equals("expansion")) {
      ExpansionService.main(Arrays.copyOfRange(args, 1, args.length));
    } else {
      FlinkJobServerDriver.main(args);
    }
  }
}
