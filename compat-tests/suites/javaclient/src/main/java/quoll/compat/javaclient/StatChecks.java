package quoll.compat.javaclient;

import static quoll.compat.Verify.between;
import static quoll.compat.Verify.equal;
import static quoll.compat.Verify.that;
import static quoll.compat.javaclient.Client.bytes;

import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.data.Stat;
import quoll.compat.Scope;
import quoll.compat.Suite;

/** The arithmetic of the Stat: which number grows by which operation, and which does not. */
final class StatChecks {
    private StatChecks() {}

    static void register(Suite suite) {
        suite.shared("Stat of a new node", StatChecks::newNode);
        suite.shared("Stat counts data, children and ACL changes apart", StatChecks::counters);
        suite.shared("pzxid follows creates and deletes of children only", StatChecks::pzxid);
        suite.shared("a recreated node starts at version 0", StatChecks::recreated);
        suite.shared("zxids grow with each write and stay in epoch 0", StatChecks::zxids);
    }

    private static void newNode(Scope scope) throws Exception {
        Client client = Client.connect(scope);
        long before = System.currentTimeMillis();
        Stat stat = new Stat();
        client.zk.create(scope.root(), bytes("12345"), Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT, stat);
        long after = System.currentTimeMillis();
        // Server and client share one clock here; a little room for its rounding.
        between(before - 5, after + 5, stat.getCtime(), "ctime");
        that(stat.getCzxid() > 0, "czxid is positive");
        equal(new Stat(stat.getCzxid(), stat.getCzxid(), stat.getCtime(), stat.getCtime(), 0, 0, 0, 0, 5, 0,
                stat.getCzxid()), stat, "Stat");
    }

    private static void counters(Scope scope) throws Exception {
        Client client = Client.atRoot(scope);
        String node = scope.root() + "/node";
        Stat made = new Stat();
        client.zk.create(node, null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT, made);
        client.zk.setData(node, bytes("x"), -1);
        Stat written = client.zk.setData(node, bytes("xy"), -1);
        equal(2, written.getVersion(), "version after two setData");
        client.zk.setACL(node, Ids.OPEN_ACL_UNSAFE, 0);
        client.zk.setACL(node, Ids.OPEN_ACL_UNSAFE, 1);
        Stat guarded = client.zk.setACL(node, Ids.OPEN_ACL_UNSAFE, -1);
        equal(3, guarded.getAversion(), "aversion after three setACL");
        equal(written.getMzxid(), guarded.getMzxid(), "mzxid after setACL");
        equal(written.getPzxid(), guarded.getPzxid(), "pzxid after setACL");
        equal(2, guarded.getVersion(), "version after setACL");
        for (int number = 0; number < 5; number++) {
            client.create(node + "/c" + number);
        }
        client.zk.delete(node + "/c0", -1);
        client.zk.delete(node + "/c1", -1);
        Stat last = client.stat(node);
        equal(7, last.getCversion(), "cversion after five creates and two deletes");
        equal(3, last.getNumChildren(), "children");
        equal(2, last.getVersion(), "version after work on children");
        equal(written.getMzxid(), last.getMzxid(), "mzxid after work on children");
        equal(written.getMtime(), last.getMtime(), "mtime after work on children");
        equal(made.getCzxid(), last.getCzxid(), "czxid in the end");
        equal(2, last.getDataLength(), "length of the data");
        equal(1, client.stat(scope.root()).getCversion(), "cversion of the parent");
    }

    private static void pzxid(Scope scope) throws Exception {
        Client client = Client.atRoot(scope);
        String node = scope.root() + "/node";
        client.create(node);
        equal(client.stat(node).getCzxid(), client.stat(node).getPzxid(), "pzxid of a new node");
        Stat child = new Stat();
        client.zk.create(node + "/child", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT, child);
        equal(child.getCzxid(), client.stat(node).getPzxid(), "pzxid after a create");
        client.zk.setData(node + "/child", bytes("x"), -1);
        client.zk.setACL(node + "/child", Ids.OPEN_ACL_UNSAFE, -1);
        client.create(node + "/child/grandchild");
        client.zk.delete(node + "/child/grandchild", -1);
        equal(child.getCzxid(), client.stat(node).getPzxid(), "pzxid after work inside the child");
        long before = client.zk.setData(node, null, -1).getMzxid();
        client.zk.delete(node + "/child", -1);
        long deleted = client.stat(node).getPzxid();
        long after = client.zk.setData(node, null, -1).getMzxid();
        that(before < deleted && deleted < after, "pzxid " + deleted + " is between " + before + " and " + after);
    }

    private static void recreated(Scope scope) throws Exception {
        Client client = Client.atRoot(scope);
        String node = scope.root() + "/node";
        client.create(node);
        Stat old = client.zk.setData(node, bytes("x"), -1);
        client.zk.setACL(node, Ids.OPEN_ACL_UNSAFE, -1);
        client.create(node + "/child");
        client.zk.delete(node + "/child", -1);
        client.zk.delete(node, -1);
        Stat stat = new Stat();
        client.zk.create(node, null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT, stat);
        equal("0 0 0", stat.getVersion() + " " + stat.getCversion() + " " + stat.getAversion(), "versions");
        that(stat.getCzxid() > old.getMzxid(), "czxid grows");
        equal(node + "/s0000000000", client.create(node + "/s", CreateMode.PERSISTENT_SEQUENTIAL), "its first number");
    }

    private static void zxids(Scope scope) throws Exception {
        Client client = Client.atRoot(scope);
        long last = client.stat(scope.root()).getCzxid();
        for (int count = 0; count < 20; count++) {
            long next = client.zk.setData(scope.root(), null, count).getMzxid();
            that(next > last, "zxid " + next + " is above " + last);
            last = next;
        }
        equal(0, last >>> 32, "epoch of a standalone server");
    }
}
