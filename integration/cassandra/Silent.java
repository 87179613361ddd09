import java.util.Collection;
import java.util.List;
import org.apache.cassandra.db.Mutation;
import org.apache.cassandra.db.partitions.Partition;
import org.apache.cassandra.triggers.ITrigger;

/** A trigger that adds nothing to what is written. */
public class Silent implements ITrigger
{
    public Collection<Mutation> augment(Partition update)
    {
        return List.of();
    }
}
