import com.datastax.driver.core.*;
import java.nio.file.*;
/** Runs the statements of a CQL file, one after another: arguments are the node's address and the file. */
public class RunCql {
    public static void main(String[] args) throws Exception {
        try (Cluster c = Cluster.builder().addContactPoint(args[0]).withProtocolVersion(ProtocolVersion.V4).withoutMetrics().withoutJMXReporting()
             .withSocketOptions(new SocketOptions().setReadTimeoutMillis(60000)).build(); Session s = c.connect()) {
            int n = 0, failed = 0;
            for (String q : Files.readString(Path.of(args[1])).split(";\\s*\n")) {
                q = q.replaceAll("(?m)^--.*$", "").strip();
                if (q.isEmpty()) continue;
                try { s.execute(q); n++; } catch (Exception e) { failed++; System.out.println("FAILED " + q + "\n  " + e); }
            }
            System.out.println(n + " statements, " + failed + " failed");
            if (failed > 0) System.exit(1);
        }
    }
}
