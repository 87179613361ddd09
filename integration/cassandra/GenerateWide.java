import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.Collections;
import java.util.Deque;
import java.util.SplittableRandom;
import org.apache.cassandra.config.DatabaseDescriptor;
import org.apache.cassandra.cql3.statements.schema.CreateTableStatement;
import org.apache.cassandra.db.Clustering;
import org.apache.cassandra.db.ClusteringBound;
import org.apache.cassandra.db.ClusteringBoundary;
import org.apache.cassandra.db.ClusteringPrefix.Kind;
import org.apache.cassandra.db.DecoratedKey;
import org.apache.cassandra.db.DeletionTime;
import org.apache.cassandra.db.LivenessInfo;
import org.apache.cassandra.db.SerializationHeader;
import org.apache.cassandra.db.marshal.Int32Type;
import org.apache.cassandra.db.rows.AbstractUnfilteredRowIterator;
import org.apache.cassandra.db.rows.BTreeRow;
import org.apache.cassandra.db.rows.BufferCell;
import org.apache.cassandra.db.rows.EncodingStats;
import org.apache.cassandra.db.rows.RangeTombstoneBoundMarker;
import org.apache.cassandra.db.rows.RangeTombstoneBoundaryMarker;
import org.apache.cassandra.db.rows.Row;
import org.apache.cassandra.db.rows.Rows;
import org.apache.cassandra.db.rows.Unfiltered;
import org.apache.cassandra.io.sstable.Descriptor;
import org.apache.cassandra.io.sstable.SSTableTxnWriter;
import org.apache.cassandra.io.sstable.SequenceBasedSSTableId;
import org.apache.cassandra.io.util.File;
import org.apache.cassandra.schema.ColumnMetadata;
import org.apache.cassandra.schema.TableMetadata;
import org.apache.cassandra.schema.TableMetadataRef;
import org.apache.cassandra.utils.ByteBufferUtil;

/**
 * Writes one partition of a table (pk int, ck int, v blob) as three SSTables that differ, row by row straight into the file,
 * whatever their number: the same files for the same arguments.
 *
 * <p>Arguments: directory, keyspace, CREATE TABLE statement, rows, bytes of a value, seed. File f (0, 1, 2) is in directory/f.
 * With write times of W + t:
 * <ul>
 *   <li>row n, n % 16 == 0, is in files n % 3 and (n + 1) % 3, t = 1;
 *   <li>row n, n % 16 == 1, is in files 0 and 1, t = 1, and newer in file 2, t = 20;
 *   <li>any other row n is in files n % 3 and (n + 1) % 3, t = 10;
 *   <li>file 0 deletes all rows, t = 5;
 *   <li>file b % 3 deletes the rows 100 b + 40 up to 100 b + 49, t = 15, by bounds of all kinds in turn.
 * </ul>
 * The value of row n is what SplittableRandom gives for seed + 2 n, or seed + 2 n + 1 where t = 20.
 */
public final class GenerateWide {
    private static final long WRITE_TIME = 1_700_000_000_000_000L;
    private static final DeletionTime ALL = DeletionTime.build(WRITE_TIME + 5, 1_700_000_000L);
    private static final DeletionTime SHORT = DeletionTime.build(WRITE_TIME + 15, 1_700_000_000L);
    private static final EncodingStats STATS = new EncodingStats(WRITE_TIME, 1_700_000_000L, 0);

    private GenerateWide() {}

    public static void main(String[] arguments) throws Exception {
        if (arguments.length != 6) {
            throw new IllegalArgumentException("DIRECTORY KEYSPACE CREATE_TABLE ROWS VALUE_BYTES SEED");
        }
        DatabaseDescriptor.toolInitialization();
        TableMetadata table = CreateTableStatement.parse(arguments[2], arguments[1]).build();
        for (int file = 0; file < 3; file++) {
            Path directory = Files.createDirectories(Path.of(arguments[0], String.valueOf(file)));
            Atoms atoms = new Atoms(table, file, Integer.parseInt(arguments[3]), Integer.parseInt(arguments[4]),
                                    Long.parseLong(arguments[5]));
            write(table, new File(directory), file + 1, atoms);
        }
        // The server's threads that tools start are no daemons.
        System.exit(0);
    }

    private static void write(TableMetadata table, File directory, int number, Atoms atoms) throws Exception {
        Descriptor descriptor =
            new Descriptor(directory, table.keyspace, table.name, new SequenceBasedSSTableId(number));
        SerializationHeader header = new SerializationHeader(true, table, table.regularAndStaticColumns(), STATS);
        try (SSTableTxnWriter writer = SSTableTxnWriter.create(TableMetadataRef.forOfflineTools(table), descriptor, 1, 0,
                                                               null, false, header, Collections.emptyList(), null)) {
            writer.append(atoms);
            writer.finish(false);
        }
    }

    /** The rows and markers of one file, in order. */
    private static final class Atoms extends AbstractUnfilteredRowIterator {
        private final int file;
        private final int rows;
        private final int valueBytes;
        private final long seed;
        private final ColumnMetadata column;
        private final Deque<Unfiltered> ready = new ArrayDeque<>();
        private int next;

        Atoms(TableMetadata table, int file, int rows, int valueBytes, long seed) {
            super(table, key(table), DeletionTime.LIVE, table.regularAndStaticColumns(), Rows.EMPTY_STATIC_ROW, false, STATS);
            this.file = file;
            this.rows = rows;
            this.valueBytes = valueBytes;
            this.seed = seed;
            this.column = table.getColumn(ByteBufferUtil.bytes("v"));
            if (file == 0) {
                ready.add(new RangeTombstoneBoundMarker(bound(Kind.INCL_START_BOUND, Integer.MIN_VALUE), ALL));
            }
        }

        private static DecoratedKey key(TableMetadata table) {
            return table.partitioner.decorateKey(Int32Type.instance.decompose(0));
        }

        @Override
        protected Unfiltered computeNext() {
            while (ready.isEmpty() && next <= rows) {
                advance(next++);
            }
            return ready.isEmpty() ? endOfData() : ready.poll();
        }

        /** Adds what stands at a row's place: markers before it, the row, markers after it; after the last row the end. */
        private void advance(int n) {
            if (n == rows) {
                if (file == 0) {
                    ready.add(new RangeTombstoneBoundMarker(ClusteringBound.TOP, ALL));
                }
                return;
            }
            // Whole blocks only, so that each deletion that starts also ends.
            int block = n / 100;
            boolean deletes = block % 3 == file && block < rows / 100;
            boolean startIncluded = block % 2 == 0;
            boolean endIncluded = block / 2 % 2 == 0;
            if (deletes && startIncluded && n % 100 == 40) {
                start(n, true);
            }
            if (deletes && !endIncluded && n % 100 == 50) {
                end(n, false);
            }
            row(n);
            if (deletes && !startIncluded && n % 100 == 39) {
                start(n, false);
            }
            if (deletes && endIncluded && n % 100 == 49) {
                end(n, true);
            }
        }

        private void row(int n) {
            boolean here = n % 3 == file || (n + 1) % 3 == file;
            switch (n % 16) {
                case 0 -> add(here, n, 1, 0);
                case 1 -> add(true, n, file == 2 ? 20 : 1, file == 2 ? 1 : 0);
                default -> add(here, n, 10, 0);
            }
        }

        private void add(boolean here, int n, long time, int version) {
            if (!here) {
                return;
            }
            byte[] value = new byte[valueBytes];
            new SplittableRandom(seed + 2L * n + version).nextBytes(value);
            Row.Builder row = BTreeRow.sortedBuilder();
            row.newRow(clustering(n));
            row.addPrimaryKeyLivenessInfo(LivenessInfo.create(WRITE_TIME + time, 0));
            row.addCell(BufferCell.live(column, WRITE_TIME + time, ByteBuffer.wrap(value)));
            ready.add(row.build());
        }

        private void start(int n, boolean included) {
            if (file == 0) {
                boundary(included ? Kind.EXCL_END_INCL_START_BOUNDARY : Kind.INCL_END_EXCL_START_BOUNDARY, n, ALL, SHORT);
            } else {
                Kind kind = included ? Kind.INCL_START_BOUND : Kind.EXCL_START_BOUND;
                ready.add(new RangeTombstoneBoundMarker(bound(kind, n), SHORT));
            }
        }

        private void end(int n, boolean included) {
            if (file == 0) {
                boundary(included ? Kind.INCL_END_EXCL_START_BOUNDARY : Kind.EXCL_END_INCL_START_BOUNDARY, n, SHORT, ALL);
            } else {
                Kind kind = included ? Kind.INCL_END_BOUND : Kind.EXCL_END_BOUND;
                ready.add(new RangeTombstoneBoundMarker(bound(kind, n), SHORT));
            }
        }

        private void boundary(Kind kind, int n, DeletionTime ends, DeletionTime starts) {
            ready.add(new RangeTombstoneBoundaryMarker(ClusteringBoundary.create(kind, clustering(n)), ends, starts));
        }

        private static ClusteringBound<ByteBuffer> bound(Kind kind, int n) {
            return ClusteringBound.create(kind, clustering(n));
        }

        private static Clustering<ByteBuffer> clustering(int n) {
            return Clustering.make(Int32Type.instance.decompose(n));
        }
    }
}
