import com.datastax.driver.core.*;
import java.nio.file.*;
/** Runs the statements of a CQL file, one after another, against 127.0.0.51. */
public class RunCql {
    public static void main(String[] args) throws Exception {
        try (Cluster c = Cluster.builder().addContactPoint("127.0.0.51").withProtocolVersion(ProtocolVersion.V4).withoutMetrics().withoutJMXReporting()
             .withSocketOptions(new SocketOptions().setReadTimeoutMillis(60000)).build(); Session s = c.connect()) {
            int n = 0;
            for (String q : Files.readString(Path.of(args[0])).split(";\\s*\n")) {
                q = q.replaceAll("(?m)^--.*$", "").strip();
                if (q.isEmpty()) continue;
                try { s.execute(q); n++; } catch (Exception e) { System.out.println("FAILED " + q + "\n  " + e); }
            }
            System.out.println(n + " statements");
        }
    }
}
