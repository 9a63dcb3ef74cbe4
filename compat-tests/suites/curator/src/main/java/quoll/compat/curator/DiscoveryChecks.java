package quoll.compat.curator;

import static quoll.compat.Verify.equal;
import static quoll.compat.Verify.eventually;
import static quoll.compat.Verify.that;

import java.util.Collection;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.state.ConnectionState;
import org.apache.curator.x.discovery.ServiceCache;
import org.apache.curator.x.discovery.ServiceDiscovery;
import org.apache.curator.x.discovery.ServiceDiscoveryBuilder;
import org.apache.curator.x.discovery.ServiceInstance;
import org.apache.curator.x.discovery.ServiceProvider;
import org.apache.curator.x.discovery.ServiceType;
import org.apache.curator.x.discovery.details.ServiceCacheListener;
import org.apache.curator.x.discovery.strategies.RoundRobinStrategy;
import quoll.compat.Scope;
import quoll.compat.Suite;

/** Services that register themselves and are found. */
final class DiscoveryChecks {
    private DiscoveryChecks() {}

    static void register(Suite suite) {
        suite.shared("ServiceDiscovery registers, finds, changes and removes", DiscoveryChecks::lifeCycle);
        suite.shared("ServiceDiscovery cache follows", DiscoveryChecks::cache);
        suite.shared("ServiceDiscovery provider takes turns", DiscoveryChecks::provider);
        suite.shared("ServiceDiscovery registers again in a new session", DiscoveryChecks::newSession);
        suite.shared("ServiceDiscovery keeps permanent services", DiscoveryChecks::permanent);
    }

    private static ServiceInstance<String> instance(String name, String id, int port) throws Exception {
        return ServiceInstance.<String>builder().name(name).id(id).address("127.0.0.1").port(port)
                .payload("payload of " + id).build();
    }

    private static ServiceDiscovery<String> discovery(Scope scope, CuratorFramework client,
            ServiceInstance<String> own) throws Exception {
        ServiceDiscovery<String> discovery = scope.own(ServiceDiscoveryBuilder.builder(String.class).client(client)
                .basePath(scope.root()).thisInstance(own).watchInstances(true).build());
        discovery.start();
        return discovery;
    }

    private static Set<String> ids(Collection<ServiceInstance<String>> instances) {
        Set<String> ids = new TreeSet<>();
        instances.forEach(each -> ids.add(each.getId()));
        return ids;
    }

    private static void lifeCycle(Scope scope) throws Exception {
        List<CuratorFramework> clients = Clients.connect(scope, 3);
        discovery(scope, clients.get(0), instance("web", "one", 8001));
        ServiceDiscovery<String> second = discovery(scope, clients.get(1), instance("web", "two", 8002));
        second.registerService(instance("mail", "three", 2500));
        ServiceDiscovery<String> reader = discovery(scope, clients.get(2), null);
        equal(Set.of("web", "mail"), new HashSet<>(reader.queryForNames()), "names");
        equal(Set.of("one", "two"), ids(reader.queryForInstances("web")), "instances");
        ServiceInstance<String> found = reader.queryForInstance("web", "two");
        equal(8002, found.getPort(), "port");
        equal("payload of two", found.getPayload(), "payload");
        equal(ServiceType.DYNAMIC, found.getServiceType(), "type");
        equal(null, reader.queryForInstance("web", "nobody"), "an unknown instance");
        equal(Set.of(), ids(reader.queryForInstances("nothing")), "instances of an unknown name");
        second.updateService(instance("web", "two", 9002));
        equal(9002, reader.queryForInstance("web", "two").getPort(), "port after the change");
        second.unregisterService(instance("mail", "three", 2500));
        eventually("the removed one is gone", () -> reader.queryForInstance("mail", "three") == null);
        second.close();
        eventually("the closed one is gone", () -> ids(reader.queryForInstances("web")).equals(Set.of("one")));
    }

    private static void cache(Scope scope) throws Exception {
        List<CuratorFramework> clients = Clients.connect(scope, 2);
        ServiceDiscovery<String> writer = discovery(scope, clients.get(0), instance("web", "one", 8001));
        ServiceDiscovery<String> reader = discovery(scope, clients.get(1), null);
        ServiceCache<String> cache = scope.own(reader.serviceCacheBuilder().name("web").build());
        AtomicInteger told = new AtomicInteger();
        cache.addListener(new ServiceCacheListener() {
            @Override
            public void cacheChanged() {
                told.incrementAndGet();
            }

            @Override
            public void stateChanged(CuratorFramework client, ConnectionState state) {}
        });
        cache.start();
        equal(Set.of("one"), ids(cache.getInstances()), "instances at the start");
        writer.registerService(instance("web", "two", 8002));
        eventually("the second is seen", () -> ids(cache.getInstances()).equals(Set.of("one", "two")));
        writer.updateService(instance("web", "two", 9002));
        eventually("the change is seen", () -> cache.getInstances().stream().anyMatch(each -> each.getPort() == 9002));
        writer.unregisterService(instance("web", "one", 8001));
        eventually("the removal is seen", () -> ids(cache.getInstances()).equals(Set.of("two")));
        eventually("the listener is told of each", () -> told.get() >= 3);
    }

    private static void provider(Scope scope) throws Exception {
        List<CuratorFramework> clients = Clients.connect(scope, 2);
        ServiceDiscovery<String> writer = discovery(scope, clients.get(0), instance("web", "one", 8001));
        writer.registerService(instance("web", "two", 8002));
        writer.registerService(instance("web", "three", 8003));
        ServiceDiscovery<String> reader = discovery(scope, clients.get(1), null);
        ServiceProvider<String> provider = scope.own(reader.serviceProviderBuilder().serviceName("web")
                .providerStrategy(new RoundRobinStrategy<>()).build());
        provider.start();
        eventually("all are known", () -> provider.getAllInstances().size() == 3);
        Set<String> seen = new TreeSet<>();
        for (int turn = 0; turn < 3; turn++) {
            seen.add(provider.getInstance().getId());
        }
        equal(Set.of("one", "two", "three"), seen, "instances in three turns");
    }

    private static void newSession(Scope scope) throws Exception {
        Clients.Fragile fragile = Clients.fragile(scope);
        CuratorFramework observer = Clients.connect(scope);
        discovery(scope, fragile.client(), instance("web", "one", 8001));
        ServiceDiscovery<String> reader = discovery(scope, observer, null);
        equal(Set.of("one"), ids(reader.queryForInstances("web")), "instances");
        long old = fragile.session();
        fragile.killSession();
        eventually("it is registered again", () -> {
            var stat = observer.checkExists().forPath(scope.root() + "/web/one");
            return stat != null && stat.getEphemeralOwner() != old && stat.getEphemeralOwner() != 0;
        });
        equal("payload of one", reader.queryForInstance("web", "one").getPayload(), "payload");
    }

    private static void permanent(Scope scope) throws Exception {
        List<CuratorFramework> clients = Clients.connect(scope, 2);
        ServiceDiscovery<String> writer = discovery(scope, clients.get(0), null);
        writer.registerService(ServiceInstance.<String>builder().name("web").id("kept").address("127.0.0.1")
                .serviceType(ServiceType.PERMANENT).build());
        clients.get(0).close();
        ServiceDiscovery<String> reader = discovery(scope, clients.get(1), null);
        that(reader.queryForInstance("web", "kept") != null, "a permanent service outlives its client");
        equal(0, clients.get(1).checkExists().forPath(scope.root() + "/web/kept").getEphemeralOwner(), "owner");
    }
}
