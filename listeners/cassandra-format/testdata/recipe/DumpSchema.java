import com.datastax.driver.core.*;
/** Prints the rows of system_schema of keyspace fx as tab-separated lines: the argument is the node's address. */
public class DumpSchema {
    public static void main(String[] args) {
        try (Cluster c = Cluster.builder().addContactPoint(args[0]).withProtocolVersion(ProtocolVersion.V4).withoutMetrics().withoutJMXReporting().build(); Session s = c.connect()) {
            for (Row r : s.execute("SELECT type_name, field_names, field_types FROM system_schema.types WHERE keyspace_name = 'fx'"))
                System.out.println("type\t" + r.getString(0) + "\t" + String.join("\u0001", r.getList(1, String.class)) + "\t" + String.join("\u0001", r.getList(2, String.class)));
            for (Row r : s.execute("SELECT table_name, column_name, kind, position, clustering_order, type FROM system_schema.columns WHERE keyspace_name = 'fx'"))
                System.out.println("column\t" + r.getString(0) + "\t" + r.getString(1) + "\t" + r.getString(2) + "\t" + r.getInt(3) + "\t" + r.getString(4) + "\t" + r.getString(5));
            for (Row r : s.execute("SELECT table_name, column_name, toUnixTimestamp(dropped_time) FROM system_schema.dropped_columns WHERE keyspace_name = 'fx'"))
                System.out.println("dropped\t" + r.getString(0) + "\t" + r.getString(1) + "\t" + r.getLong(2) * 1000);
        }
    }
}
