import java.io.BufferedReader;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

import org.apache.cassandra.config.CassandraRelevantProperties;
import org.apache.cassandra.config.DatabaseDescriptor;
import org.apache.cassandra.cql3.QueryOptions;
import org.apache.cassandra.cql3.QueryProcessor;
import org.apache.cassandra.cql3.UpdateParameters;
import org.apache.cassandra.cql3.statements.ModificationStatement;
import org.apache.cassandra.db.Clustering;
import org.apache.cassandra.db.DecoratedKey;
import org.apache.cassandra.db.SerializationHeader;
import org.apache.cassandra.db.Slice;
import org.apache.cassandra.db.partitions.PartitionUpdate;
import org.apache.cassandra.db.rows.EncodingStats;
import org.apache.cassandra.io.sstable.Descriptor;
import org.apache.cassandra.io.sstable.SSTableTxnWriter;
import org.apache.cassandra.io.sstable.SequenceBasedSSTableId;
import org.apache.cassandra.io.sstable.format.Version;
import org.apache.cassandra.io.util.File;
import org.apache.cassandra.schema.CompressionParams;
import org.apache.cassandra.schema.Schema;
import org.apache.cassandra.schema.SchemaTransformation;
import org.apache.cassandra.schema.TableMetadata;
import org.apache.cassandra.schema.TableMetadataRef;
import org.apache.cassandra.service.ClientState;
import org.apache.cassandra.utils.ByteBufferUtil;

/**
 * Writes SSTables of CQL writes with Cassandra's own code, without a server: each write is executed once, by a clock that the
 * script gives, and goes into any number of files, so that replicas can be made to differ as wanted.
 *
 * The script has a line per step, its fields separated by tabs:
 *   S  statement                                          CREATE KEYSPACE, TYPE or TABLE
 *   T  keyspace  table  directory                         the writes that follow are to this table
 *   F  file (n)  version (nb, oa, da)  compression        this file of it has this format; a=b,c=d are its compression's options
 *   W  clock (s)  files (1,2,…)  statement  values…       a write; a value is hexadecimal, '-' null, '?' unset
 * File n of a table is SSTable n in directory/n. What is not said of a file is as the table and cassandra.yaml have it; format
 * oa can be written where storage_compatibility_mode allows it only.
 */
public class WriteSstables
{
    private static final ClientState STATE = ClientState.forInternalCalls();

    private final Map<String, ModificationStatement> prepared = new HashMap<>();
    private final Map<Integer, TreeMap<DecoratedKey, List<PartitionUpdate>>> files = new TreeMap<>();
    private final Map<Integer, Form> forms = new HashMap<>();
    private TableMetadata table;
    private String directory;

    /** How a file is written. */
    private record Form(Version version, CompressionParams compression) {}

    public static void main(String[] arguments) throws Exception
    {
        CassandraRelevantProperties.FORCE_LOAD_LOCAL_KEYSPACES.setBoolean(true);
        // Whether an expiry lies too far ahead would be judged by the machine's clock, not by the script's.
        CassandraRelevantProperties.EXPIRATION_DATE_OVERFLOW_POLICY.setString("CAP_NOWARN");
        DatabaseDescriptor.toolInitialization();
        WriteSstables writer = new WriteSstables();
        int number = 0;
        try (BufferedReader script = Files.newBufferedReader(Path.of(arguments[0])))
        {
            for (String line = script.readLine(); line != null; line = script.readLine())
            {
                number++;
                writer.step(line.split("\t"));
            }
            writer.finishTable();
        }
        catch (Exception failure)
        {
            throw new RuntimeException("line " + number + " of " + arguments[0], failure);
        }
        // Cassandra's threads would keep the process.
        System.exit(0);
    }

    private void step(String[] fields) throws Exception
    {
        switch (fields[0])
        {
            case "S" -> Schema.instance.transform((SchemaTransformation) QueryProcessor.parseStatement(fields[1], STATE));
            case "T" -> startTable(fields[1], fields[2], fields[3]);
            case "F" -> forms.put(Integer.valueOf(fields[1]), new Form(version(fields[2]), compression(fields[3])));
            case "W" -> write(Long.parseLong(fields[1]), fields[2].split(","), fields[3], values(fields));
            default -> throw new IllegalArgumentException("step " + fields[0]);
        }
    }

    private void startTable(String keyspace, String name, String into) throws Exception
    {
        finishTable();
        table = Schema.instance.getTableMetadata(keyspace, name);
        directory = into;
    }

    private static Version version(String name)
    {
        return DatabaseDescriptor.getSSTableFormats().get(name.startsWith("d") ? "bti" : "big").getVersion(name);
    }

    private static CompressionParams compression(String options)
    {
        Map<String, String> named = new HashMap<>();
        for (String option : options.split(","))
            named.put(option.split("=")[0], option.split("=")[1]);
        return CompressionParams.fromMap(named);
    }

    private static List<ByteBuffer> values(String[] fields)
    {
        List<ByteBuffer> values = new ArrayList<>();
        for (int field = 4; field < fields.length; field++)
            values.add(value(fields[field]));
        return values;
    }

    private static ByteBuffer value(String text)
    {
        return switch (text)
        {
            case "-" -> null;
            case "?" -> ByteBufferUtil.UNSET_BYTE_BUFFER;
            default -> ByteBuffer.wrap(HexFormat.of().parseHex(text.substring(1)));
        };
    }

    /** Executes a write as a coordinator does, and adds what it changes to its files. */
    private void write(long clock, String[] into, String text, List<ByteBuffer> values) throws Exception
    {
        ModificationStatement statement =
            prepared.computeIfAbsent(text, cql -> (ModificationStatement) QueryProcessor.parseStatement(cql, STATE));
        QueryOptions options = QueryOptions.forInternalCalls(values);
        UpdateParameters parameters = new UpdateParameters(table, statement.updatedColumns(), STATE, options,
                                                           statement.getTimestamp(0, options), clock,
                                                           statement.getTimeToLive(options), Collections.emptyMap());
        for (ByteBuffer bytes : statement.buildPartitionKeyNames(options, STATE))
        {
            DecoratedKey key = table.partitioner.decorateKey(bytes);
            PartitionUpdate.Builder update = new PartitionUpdate.Builder(table, key, statement.updatedColumns(), 1);
            if (statement.hasSlices())
                for (Slice slice : statement.createSlices(options))
                    statement.addUpdateForKey(update, slice, parameters);
            else
                for (Clustering<?> clustering : statement.createClustering(options, STATE))
                    statement.addUpdateForKey(update, clustering, parameters);
            PartitionUpdate built = update.build();
            for (String file : into)
                files.computeIfAbsent(Integer.valueOf(file), number -> new TreeMap<>())
                     .computeIfAbsent(key, first -> new ArrayList<>())
                     .add(built);
        }
    }

    private void finishTable() throws Exception
    {
        for (Map.Entry<Integer, TreeMap<DecoratedKey, List<PartitionUpdate>>> file : files.entrySet())
            flush(file.getKey(), file.getValue());
        files.clear();
        forms.clear();
        prepared.clear();
    }

    /** Writes one SSTable, as a flush does: updates of one partition are merged. */
    private void flush(int number, TreeMap<DecoratedKey, List<PartitionUpdate>> partitions) throws Exception
    {
        List<PartitionUpdate> updates = new ArrayList<>();
        EncodingStats stats = EncodingStats.NO_STATS;
        for (List<PartitionUpdate> partition : partitions.values())
        {
            PartitionUpdate update = PartitionUpdate.merge(partition);
            if (update.isEmpty())
                continue;
            stats = updates.isEmpty() ? update.stats() : stats.mergeWith(update.stats());
            updates.add(update);
        }
        if (updates.isEmpty())
            return;
        Path path = Files.createDirectories(Path.of(directory, String.valueOf(number)));
        Version selected = DatabaseDescriptor.getSelectedSSTableFormat().getLatestVersion();
        Form form = forms.getOrDefault(number, new Form(selected, table.params.compression));
        Descriptor descriptor = new Descriptor(form.version, new File(path), table.keyspace, table.name,
                                               new SequenceBasedSSTableId(number));
        SerializationHeader header =
            new SerializationHeader(true, table, table.regularAndStaticColumns(), stats);
        TableMetadata compressed = table.unbuild().compression(form.compression).build();
        try (SSTableTxnWriter writer = SSTableTxnWriter.create(TableMetadataRef.forOfflineTools(compressed), descriptor,
                                                               updates.size(), 0, null, false, header,
                                                               Collections.emptyList(), null))
        {
            for (PartitionUpdate update : updates)
                writer.append(update.unfilteredIterator());
            writer.finish(false);
        }
    }
}
