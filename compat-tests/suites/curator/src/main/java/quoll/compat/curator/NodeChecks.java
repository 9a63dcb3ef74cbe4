package quoll.compat.curator;

import static quoll.compat.Verify.equal;
import static quoll.compat.Verify.eventually;
import static quoll.compat.Verify.that;
import static quoll.compat.curator.Clients.bytes;
import static quoll.compat.curator.Clients.text;

import java.util.List;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.recipes.nodes.GroupMember;
import org.apache.curator.framework.recipes.nodes.PersistentNode;
import org.apache.curator.framework.recipes.nodes.PersistentTtlNode;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.data.Stat;
import quoll.compat.Scope;
import quoll.compat.Suite;

/** Nodes that a client keeps alive. */
final class NodeChecks {
    private static final int TTL_MS = 3_000;

    private NodeChecks() {}

    static void register(Suite suite) {
        suite.slow("PersistentTtlNode lives while it is touched and goes afterwards", NodeChecks::ttlNode);
        suite.slow("containers made for a child go when it is gone", NodeChecks::containers);
        suite.shared("PersistentNode comes back when it is deleted", NodeChecks::recreated);
        suite.shared("PersistentNode comes back in a new session", NodeChecks::newSession);
        suite.shared("PersistentNode that is sequential keeps its name", NodeChecks::sequential);
        suite.shared("PersistentNode with protection", NodeChecks::protectedNode);
        suite.shared("GroupMember lists who is there", NodeChecks::group);
        suite.shared("GroupMember comes back in a new session", NodeChecks::groupSession);
    }

    private static PersistentNode started(Scope scope, CuratorFramework client, CreateMode mode, boolean protection,
            String path) throws Exception {
        PersistentNode node = scope.own(new PersistentNode(client, mode, protection, path, bytes("1")));
        node.start();
        that(node.waitForInitialCreate(20, TimeUnit.SECONDS), "the node is created");
        return node;
    }

    private static void ttlNode(Scope scope) throws Exception {
        CuratorFramework client = Clients.connect(scope);
        CuratorFramework observer = Clients.connect(scope);
        observer.create().forPath(scope.root());
        String path = scope.root() + "/node";
        PersistentTtlNode node = scope.own(new PersistentTtlNode(client, path, TTL_MS, bytes("1")));
        node.start();
        that(node.waitForInitialCreate(20, TimeUnit.SECONDS), "the node is created");
        equal("1", text(observer.getData().forPath(path)), "data");
        eventually("it is touched", () -> Clients.children(observer, path)
                .equals(List.of(PersistentTtlNode.DEFAULT_CHILD_NODE_NAME)));
        Stat before = observer.checkExists().forPath(path);
        Thread.sleep(2 * TTL_MS);
        equal(before.getCzxid(), observer.checkExists().forPath(path).getCzxid(), "czxid after twice its time");
        node.setData(bytes("2"));
        eventually("the data is changed", () -> text(observer.getData().forPath(path)).equals("2"));
        node.close();
        eventually(80_000, "the node is gone", () -> observer.checkExists().forPath(path) == null);
    }

    private static void containers(Scope scope) throws Exception {
        CuratorFramework client = Clients.connect(scope);
        client.create().forPath(scope.root());
        String outer = scope.root() + "/outer";
        String path = outer + "/inner/leaf";
        client.create().creatingParentContainersIfNeeded().withMode(CreateMode.EPHEMERAL).forPath(path, bytes("x"));
        equal(0, client.checkExists().forPath(outer).getEphemeralOwner(), "owner of a container");
        String parents = scope.root() + "/parents";
        client.create().creatingParentsIfNeeded().forPath(parents + "/inner/leaf");
        client.delete().forPath(parents + "/inner/leaf");
        client.createContainers(scope.root() + "/made");
        client.delete().forPath(path);
        eventually(80_000, "inner and outer container are gone", () -> client.checkExists().forPath(outer) == null);
        that(client.checkExists().forPath(parents + "/inner") != null, "plain parents stay");
        that(client.checkExists().forPath(scope.root() + "/made") != null, "a container without history stays");
    }

    private static void recreated(Scope scope) throws Exception {
        List<CuratorFramework> clients = Clients.connect(scope, 2);
        CuratorFramework observer = clients.get(1);
        String path = scope.root() + "/node";
        PersistentNode node = started(scope, clients.get(0), CreateMode.EPHEMERAL, false, path);
        equal(path, node.getActualPath(), "path");
        long session = clients.get(0).getZookeeperClient().getZooKeeper().getSessionId();
        equal(session, observer.checkExists().forPath(path).getEphemeralOwner(), "owner");
        long first = observer.checkExists().forPath(path).getCzxid();
        observer.delete().forPath(path);
        eventually("the node is back", () -> observer.checkExists().forPath(path) != null
                && observer.checkExists().forPath(path).getCzxid() > first);
        node.setData(bytes("2"));
        eventually("the data is changed", () -> text(observer.getData().forPath(path)).equals("2"));
        observer.delete().forPath(path);
        eventually("the node is back with its data", () -> text(observer.getData().forPath(path)).equals("2"));
        node.close();
        eventually("the node is gone", () -> observer.checkExists().forPath(path) == null);
    }

    private static void newSession(Scope scope) throws Exception {
        Clients.Fragile fragile = Clients.fragile(scope);
        CuratorFramework observer = Clients.connect(scope);
        String path = scope.root() + "/node";
        started(scope, fragile.client(), CreateMode.EPHEMERAL, false, path);
        long old = fragile.session();
        equal(old, observer.checkExists().forPath(path).getEphemeralOwner(), "owner");
        fragile.killSession();
        eventually("the node is back with a new owner", () -> {
            Stat stat = observer.checkExists().forPath(path);
            return stat != null && stat.getEphemeralOwner() != old;
        });
        equal(fragile.session(), observer.checkExists().forPath(path).getEphemeralOwner(), "owner");
        equal("1", text(observer.getData().forPath(path)), "data");
    }

    private static void sequential(Scope scope) throws Exception {
        Clients.Fragile fragile = Clients.fragile(scope);
        CuratorFramework observer = Clients.connect(scope);
        observer.create().forPath(scope.root());
        PersistentNode node = started(scope, fragile.client(), CreateMode.EPHEMERAL_SEQUENTIAL, false,
                scope.root() + "/n-");
        String path = scope.root() + "/n-0000000000";
        equal(path, node.getActualPath(), "path");
        long old = fragile.session();
        fragile.killSession();
        eventually("the node is back with a new owner", () -> {
            Stat stat = observer.checkExists().forPath(path);
            return stat != null && stat.getEphemeralOwner() != old;
        });
        equal(List.of("n-0000000000"), Clients.children(observer, scope.root()), "children");
    }

    private static void protectedNode(Scope scope) throws Exception {
        List<CuratorFramework> clients = Clients.connect(scope, 2);
        PersistentNode node = started(scope, clients.get(0), CreateMode.EPHEMERAL, true, scope.root() + "/node");
        String name = node.getActualPath().substring(scope.root().length() + 1);
        that(name.matches("_c_[0-9a-f-]{36}-node"), "protected name " + name);
        equal(List.of(name), Clients.children(clients.get(1), scope.root()), "children");
    }

    private static GroupMember member(Scope scope, CuratorFramework client, String id) {
        GroupMember member = scope.own(new GroupMember(client, scope.root(), id, bytes("data of " + id)));
        member.start();
        return member;
    }

    private static void group(Scope scope) throws Exception {
        List<CuratorFramework> clients = Clients.connect(scope, 3);
        GroupMember first = member(scope, clients.get(0), "first");
        GroupMember second = member(scope, clients.get(1), "second");
        GroupMember third = member(scope, clients.get(2), "third");
        for (GroupMember each : List.of(first, second, third)) {
            eventually("all are seen", () -> each.getCurrentMembers().keySet()
                    .equals(Set.of("first", "second", "third")));
        }
        equal("data of third", text(first.getCurrentMembers().get("third")), "data");
        third.setThisData(bytes("changed"));
        eventually("the change is seen", () -> text(first.getCurrentMembers().get("third")).equals("changed"));
        second.close();
        eventually("the leaving is seen", () -> first.getCurrentMembers().keySet().equals(Set.of("first", "third")));
    }

    private static void groupSession(Scope scope) throws Exception {
        Clients.Fragile fragile = Clients.fragile(scope);
        GroupMember first = member(scope, Clients.connect(scope), "first");
        GroupMember second = member(scope, fragile.client(), "second");
        eventually("both are seen", () -> first.getCurrentMembers().size() == 2
                && second.getCurrentMembers().size() == 2);
        long old = fragile.session();
        fragile.killSession();
        CuratorFramework observer = Clients.connect(scope);
        eventually("the member is back with a new session", () -> {
            Stat stat = observer.checkExists().forPath(scope.root() + "/second");
            return stat != null && stat.getEphemeralOwner() != old;
        });
        eventually("both are seen again", () -> first.getCurrentMembers().size() == 2
                && second.getCurrentMembers().size() == 2);
    }
}
