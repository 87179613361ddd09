import java.io.FileOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.Permission;
import java.util.Arrays;
import java.util.stream.Collectors;
import java.util.stream.StreamSupport;

import org.apache.cassandra.config.DatabaseDescriptor;
import org.apache.cassandra.db.rows.Cell;
import org.apache.cassandra.db.rows.Row;
import org.apache.cassandra.db.rows.Unfiltered;
import org.apache.cassandra.db.rows.UnfilteredRowIterator;
import org.apache.cassandra.io.sstable.Descriptor;
import org.apache.cassandra.io.sstable.ISSTableScanner;
import org.apache.cassandra.io.sstable.format.SSTableReader;
import org.apache.cassandra.io.util.File;
import org.apache.cassandra.schema.TableMetadataRef;
import org.apache.cassandra.tools.Util;

/**
 * Runs tools of Cassandra many times in one process: starting it for each call would take most of a test's time.
 *
 * Usage: ToolCalls LIST. Each line of LIST is, separated by tabs: the file that the output goes to, the tool's class, and its
 * arguments. CellStamps is no tool of Cassandra but its reader, see below. Needs -Djava.security.manager=allow: tools end their process, which here must only end the call.
 */
public class ToolCalls {
    /** A tool's wish to end. */
    private static final class Ended extends SecurityException {
        final int status;

        Ended(int status) {
            this.status = status;
        }
    }

    /** Standard output for tools that keep it from their first call on. */
    private static final class Output extends OutputStream {
        OutputStream file;

        @Override
        public void write(int octet) throws IOException {
            file.write(octet);
        }

        @Override
        public void write(byte[] bytes, int start, int length) throws IOException {
            file.write(bytes, start, length);
        }
    }

    private static boolean over = false;

    @SuppressWarnings("removal")
    public static void main(String[] arguments) throws Exception {
        System.setSecurityManager(new SecurityManager() {
            @Override
            public void checkExit(int status) {
                if (!over) {
                    throw new Ended(status);
                }
            }

            @Override
            public void checkPermission(Permission permission) {}

            @Override
            public void checkPermission(Permission permission, Object context) {}
        });
        Output output = new Output();
        System.setOut(new PrintStream(output, false, "UTF-8") {
            // Some tools close it at their end.
            @Override
            public void close() {
                flush();
            }
        });
        for (String line : Files.readAllLines(Path.of(arguments[0]))) {
            int status = call(line.split("\t"), output);
            if (status != 0) {
                System.err.println("ended with " + status + ": " + line);
                end(1);
            }
        }
        end(0);
    }

    private static void end(int status) {
        over = true;
        System.exit(status);
    }

    private static int call(String[] words, Output output) throws Exception {
        try (OutputStream file = new FileOutputStream(words[0])) {
            output.file = file;
            int status = run(words[1], Arrays.copyOfRange(words, 2, words.length));
            if (System.out.checkError()) {
                throw new IOException("output of " + words[1] + " to " + words[0]);
            }
            return status;
        }
    }

    /**
     * Prints a line for each row of an SSTable, in its order: "write-time" or "write-time:ttl:expiry" of each cell. sstabledump -t
     * leaves out a TTL that is the row's, and its -d cannot print the fields of user-defined types.
     */
    private static void stamps(String path) throws Exception {
        DatabaseDescriptor.toolInitialization(false);
        Descriptor descriptor = Descriptor.fromFileWithComponent(new File(path), false).left;
        TableMetadataRef metadata = TableMetadataRef.forOfflineTools(Util.metadataFromSSTable(descriptor));
        SSTableReader sstable = SSTableReader.openNoValidation(null, descriptor, metadata);
        try (ISSTableScanner scanner = sstable.getScanner()) {
            while (scanner.hasNext()) {
                UnfilteredRowIterator partition = scanner.next();
                if (!partition.staticRow().isEmpty()) {
                    System.out.println(stamps(partition.staticRow()));
                }
                while (partition.hasNext()) {
                    Unfiltered unfiltered = partition.next();
                    if (unfiltered.isRow()) {
                        System.out.println(stamps((Row) unfiltered));
                    }
                }
            }
        }
    }

    private static String stamps(Row row) {
        return StreamSupport.stream(row.cells().spliterator(), false).map(ToolCalls::stamp).collect(Collectors.joining(" "));
    }

    private static String stamp(Cell<?> cell) {
        String written = Long.toString(cell.timestamp());
        return cell.isExpiring() ? written + ":" + cell.ttl() + ":" + cell.localDeletionTime() : written;
    }

    private static int run(String tool, String[] arguments) throws Exception {
        if (tool.equals("CellStamps")) {
            stamps(arguments[0]);
            return 0;
        }
        try {
            Class.forName("org.apache.cassandra.tools." + tool).getMethod("main", String[].class).invoke(null, (Object) arguments);
            return 0;
        } catch (InvocationTargetException failed) {
            if (failed.getCause() instanceof Ended) {
                return ((Ended) failed.getCause()).status;
            }
            throw failed;
        }
    }
}
