import java.io.ByteArrayOutputStream;
import java.lang.reflect.Field;
import java.lang.reflect.Modifier;
import java.lang.reflect.ParameterizedType;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.apache.jute.BinaryOutputArchive;
import org.apache.jute.Record;

/**
 * Writes the golden vectors of this directory with the reference's own records: scripts/golden-vectors runs it.
 *
 * Every record is filled in three ways: all fields set to values that differ from each other, everything empty, and
 * everything absent. A file holds one record: for each way a line with the bytes and one with the values.
 */
public final class Golden {
    private static final String[] RECORDS = {
        "data.Id", "data.ACL", "data.Stat", "data.StatPersisted", "data.ClientInfo",
        "proto.ConnectRequest", "proto.ConnectResponse", "proto.SetWatches", "proto.SetWatches2",
        "proto.RequestHeader", "proto.MultiHeader", "proto.AuthPacket", "proto.ReplyHeader",
        "proto.GetDataRequest", "proto.SetDataRequest", "proto.ReconfigRequest", "proto.SetDataResponse",
        "proto.GetSASLRequest", "proto.SetSASLRequest", "proto.SetSASLResponse", "proto.CreateRequest",
        "proto.CreateTTLRequest", "proto.DeleteRequest", "proto.GetChildrenRequest",
        "proto.GetAllChildrenNumberRequest", "proto.GetChildren2Request", "proto.CheckVersionRequest",
        "proto.GetMaxChildrenRequest", "proto.GetMaxChildrenResponse", "proto.SetMaxChildrenRequest",
        "proto.SyncRequest", "proto.SyncResponse", "proto.GetACLRequest", "proto.SetACLRequest",
        "proto.SetACLResponse", "proto.AddWatchRequest", "proto.WatcherEvent", "proto.ErrorResponse",
        "proto.CreateResponse", "proto.Create2Response", "proto.ExistsRequest", "proto.ExistsResponse",
        "proto.GetDataResponse", "proto.GetChildrenResponse", "proto.GetAllChildrenNumberResponse",
        "proto.GetChildren2Response", "proto.GetACLResponse", "proto.CheckWatchesRequest",
        "proto.RemoveWatchesRequest", "proto.GetEphemeralsRequest", "proto.GetEphemeralsResponse",
        "proto.WhoAmIResponse",
        "server.quorum.LearnerInfo", "server.quorum.QuorumPacket", "server.quorum.QuorumAuthPacket",
        "server.persistence.FileHeader",
        "txn.TxnDigest", "txn.TxnHeader", "txn.CreateTxnV0", "txn.CreateTxn", "txn.CreateTTLTxn",
        "txn.CreateContainerTxn", "txn.DeleteTxn", "txn.SetDataTxn", "txn.CheckVersionTxn", "txn.SetACLTxn",
        "txn.SetMaxChildrenTxn", "txn.CreateSessionTxn", "txn.CloseSessionTxn", "txn.ErrorTxn", "txn.Txn",
        "txn.MultiTxn",
    };

    private enum Way { SET, EMPTY, ABSENT }

    private final Way way;
    private int next;

    private Golden(Way way) {
        this.way = way;
    }

    public static void main(String[] args) throws Exception {
        for (String name : RECORDS) {
            StringBuilder text = new StringBuilder();
            for (Way way : Way.values()) {
                StringBuilder values = new StringBuilder();
                Object record = new Golden(way).record(Class.forName("org.apache.zookeeper." + name), values);
                text.append(way.name().toLowerCase()).append(' ').append(hex((Record) record)).append('\n');
                text.append(values).append('\n');
            }
            Files.writeString(Path.of(args[0], name.substring(name.lastIndexOf('.') + 1) + ".txt"), text);
        }
    }

    private static String hex(Record record) throws Exception {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        record.serialize(BinaryOutputArchive.getArchive(bytes), "");
        StringBuilder text = new StringBuilder();
        for (byte b : bytes.toByteArray()) {
            text.append(String.format("%02x", b));
        }
        return text.toString();
    }

    /** A record with every field set, and its values as text. Nested records are never absent on the wire. */
    private Object record(Class<?> type, StringBuilder values) throws Exception {
        Object record = type.getDeclaredConstructor().newInstance();
        values.append('{');
        String comma = "";
        for (Field field : type.getDeclaredFields()) {
            if (Modifier.isStatic(field.getModifiers())) {
                continue;
            }
            field.setAccessible(true);
            values.append(comma);
            comma = ", ";
            Class<?> element = field.getGenericType() instanceof ParameterizedType list
                ? (Class<?>) list.getActualTypeArguments()[0] : null;
            field.set(record, value(field.getType(), element, values));
        }
        values.append('}');
        return record;
    }

    private Object value(Class<?> type, Class<?> element, StringBuilder values) throws Exception {
        next++;
        Object value;
        if (type == int.class) {
            value = way == Way.SET ? next * 0x01010101 : way == Way.EMPTY ? 0 : -next;
        } else if (type == long.class) {
            value = way == Way.SET ? next * 0x0101010101010101L : way == Way.EMPTY ? 0L : (long) -next;
        } else if (type == boolean.class) {
            value = way == Way.SET;
        } else if (type == String.class) {
            value = way == Way.SET ? "/n" + next + "-äß漢" : way == Way.EMPTY ? "" : null;
            values.append(value == null ? "None" : "\"" + value + "\"");
            return value;
        } else if (type == byte[].class) {
            byte[] bytes = way == Way.SET ? new byte[] {(byte) next, 0, -1} : way == Way.EMPTY ? new byte[0] : null;
            values.append(bytes == null ? "None" : bytes.length == 0 ? "[]" : "[" + next + ", 0, 255]");
            return bytes;
        } else if (type == List.class) {
            return list(element, values);
        } else {
            return record(type, values);
        }
        values.append(value);
        return value;
    }

    private List<Object> list(Class<?> element, StringBuilder values) throws Exception {
        if (way == Way.ABSENT) {
            values.append("None");
            return null;
        }
        List<Object> list = new ArrayList<>();
        values.append('[');
        for (int i = 0; i < (way == Way.SET ? 2 : 0); i++) {
            values.append(i == 0 ? "" : ", ");
            list.add(value(element, null, values));
        }
        values.append(']');
        return list;
    }
}
