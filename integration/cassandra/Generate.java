import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.SplittableRandom;
import org.apache.cassandra.config.DatabaseDescriptor;
import org.apache.cassandra.db.DecoratedKey;
import org.apache.cassandra.db.marshal.Int32Type;
import org.apache.cassandra.dht.Murmur3Partitioner;
import org.apache.cassandra.io.sstable.CQLSSTableWriter;

/**
 * Writes an SSTable of a table (pk int, ck int, v blob), without a server: the same files for the same arguments.
 *
 * <p>Arguments: directory, CREATE TABLE statement, rows, rows of a partition, bytes of a value, seed. Row n is
 * (n / rows of a partition, n % rows of a partition); its value is what SplittableRandom gives for seed + n, so that nothing
 * compresses it. Rows go in the order of their tokens straight into the file, whatever their number.
 */
public final class Generate {
    /** Write time of every row, microseconds since 1970. */
    private static final long WRITE_TIME = 1_700_000_000_000_000L;

    private Generate() {}

    public static void main(String[] arguments) throws Exception {
        if (arguments.length != 6) {
            throw new IllegalArgumentException("DIRECTORY CREATE_TABLE ROWS ROWS_OF_A_PARTITION VALUE_BYTES SEED");
        }
        // Without this the writer takes no notice of cassandra.yaml.
        DatabaseDescriptor.toolInitialization();
        long rows = Long.parseLong(arguments[2]);
        int ofPartition = Integer.parseInt(arguments[3]);
        int valueBytes = Integer.parseInt(arguments[4]);
        long seed = Long.parseLong(arguments[5]);
        String insert = "INSERT INTO " + table(arguments[1]) + " (pk, ck, v) VALUES (?, ?, ?) USING TIMESTAMP " + WRITE_TIME;
        try (CQLSSTableWriter writer = CQLSSTableWriter.builder()
                .inDirectory(arguments[0])
                .forTable(arguments[1])
                .using(insert)
                .sorted()
                .build()) {
            for (int partition : inTokenOrder(Math.toIntExact((rows + ofPartition - 1) / ofPartition))) {
                long first = (long) partition * ofPartition;
                for (long row = first; row < Math.min(first + ofPartition, rows); row++) {
                    byte[] value = new byte[valueBytes];
                    new SplittableRandom(seed + row).nextBytes(value);
                    writer.addRow(partition, (int) (row - first), ByteBuffer.wrap(value));
                }
            }
        }
        // The server's threads that tools start are no daemons.
        System.exit(0);
    }

    /** The name in "CREATE TABLE name (...". */
    private static String table(String create) {
        return create.replaceFirst("(?i)^CREATE TABLE\\s+(\\S+).*", "$1");
    }

    private static List<Integer> inTokenOrder(int partitions) {
        List<Integer> keys = new ArrayList<>(partitions);
        for (int key = 0; key < partitions; key++) {
            keys.add(key);
        }
        keys.sort(Comparator.comparing(Generate::decorated));
        return keys;
    }

    private static DecoratedKey decorated(int key) {
        return Murmur3Partitioner.instance.decorateKey(Int32Type.instance.decompose(key));
    }
}
