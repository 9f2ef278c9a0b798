//! Quotas in a Redis Cluster.

use std::time::{Duration, Instant};

use tonic_ratelimit_layer::{Key, Quota, RateLimitLayer, RedisStore, Rule, StoreError};

use crate::common::principal;
use crate::redis_server::{RedisServer, free_port};
use crate::{LONG, Outage, layer, passes, send_from, source, until, wait_for};

/// What the documentation says that a user needs.
const RIGHTS: [&str; 9] = [
    "~ratelimit:*",
    "+evalsha",
    "+eval",
    "+get",
    "+set",
    "+time",
    "+ping",
    "+asking",
    "+cluster|slots",
];

/// Primaries, which have a third of the slots each.
struct Cluster(Vec<RedisServer>);

impl Cluster {
    fn start() -> Option<Self> {
        let nodes = (0..3).map(|_| start_node()).collect::<Option<Vec<_>>>()?;
        let slots = [("0", "5460"), ("5461", "10922"), ("10923", "16383")];
        for (number, (node, (first, last))) in nodes.iter().zip(slots).enumerate() {
            node.run(&["CLUSTER", "SET-CONFIG-EPOCH", &(number + 1).to_string()]);
            node.run(&["CLUSTER", "ADDSLOTSRANGE", first, last]);
        }
        let cluster = Self(nodes);
        for node in &cluster.0[1..] {
            cluster.meet(node);
        }
        cluster.wait();
        Some(cluster)
    }

    fn meet(&self, node: &RedisServer) {
        let bus = node.run(&["CONFIG", "GET", "cluster-port"]);
        let (_, bus): (String, String) = redis::from_redis_value(bus).unwrap();
        self.0[0].run(&["CLUSTER", "MEET", "127.0.0.1", &node.port.to_string(), &bus]);
    }

    /// Waits until all nodes know all others, and that all slots are served.
    fn wait(&self) {
        for node in &self.0 {
            wait_for("a cluster", || {
                let info = node.text(&["CLUSTER", "INFO"]);
                let known = format!("cluster_known_nodes:{}\r\n", self.0.len());
                info.contains("cluster_state:ok") && info.contains(&known)
            });
        }
    }

    fn store(&self) -> RedisStore {
        // One that is away, too: the first that answers is enough.
        let closed = format!("redis://limiter:secret@127.0.0.1:{}", free_port());
        let urls = self.0.iter().take(2).map(|node| node.url().replace("//", "//limiter:secret@"));
        RedisStore::cluster([closed].into_iter().chain(urls)).unwrap().budget(LONG)
    }

    /// A caller whose keys are in this node.
    async fn caller_at(&self, place: usize, layer: &RateLimitLayer) -> String {
        for name in (0..).map(|number| format!("at-{place}-{number}")) {
            for node in &self.0 {
                node.run(&["FLUSHALL"]);
            }
            send_from(layer, &principal(&name)).await;
            if self.find_key().0 == place {
                return name;
            }
        }
        unreachable!()
    }

    /// How often nodes were asked for the slots: at least once in each probe.
    fn probes(&self, places: &[usize]) -> usize {
        let asked = |node: &RedisServer| {
            let stats = node.text(&["INFO", "commandstats"]);
            let (_, calls) = stats.split_once("cluster|slots:calls=")?;
            calls.split(',').next()?.parse::<usize>().ok()
        };
        places.iter().filter_map(|place| asked(&self.0[*place])).sum()
    }

    /// The node that has a key, and the key.
    fn find_key(&self) -> (usize, String) {
        let names = |node: &RedisServer| {
            let names: Vec<String> = redis::from_redis_value(node.run(&["KEYS", "*"])).unwrap();
            names.into_iter().filter(|name| !name.ends_with("probe")).collect::<Vec<_>>()
        };
        let mut all = self.0.iter().enumerate().map(|(place, node)| (place, names(node)));
        let (place, mut keys) = all.find(|(_, keys)| !keys.is_empty()).unwrap();
        (place, keys.remove(0))
    }
}

fn start_node() -> Option<RedisServer> {
    let bus = free_port().to_string();
    let cluster = ["--cluster-enabled", "yes", "--cluster-port", &bus];
    let soon = ["--cluster-node-timeout", "1000", "--repl-diskless-sync-delay", "0"];
    let user = ["--user", "limiter", "on", ">secret"];
    RedisServer::start(&[&cluster[..], &soon, &user, &RIGHTS].concat())
}

/// Two quotas that have the same key.
fn limits() -> Rule {
    let by_caller = |quota: Quota| quota.by(Key::principal());
    [by_caller(Quota::per_hour(100)), by_caller(Quota::per_hour(3))].into()
}

/// Callers whose keys are in all nodes.
fn callers() -> impl Iterator<Item = String> + Clone {
    (0..30).map(|number| format!("caller-{number}"))
}

#[tokio::test]
async fn several_servers_share_quotas_in_a_cluster() {
    let Some(cluster) = Cluster::start() else { return };
    let layers = [(); 3].map(|()| layer(limits(), &cluster.store()));
    for caller in callers() {
        let mut passed = 0;
        for layer in &layers {
            passed += passes(layer, &principal(&caller), 2).await;
        }
        assert_eq!(passed, 3, "{caller}");
    }
    for layer in &layers {
        assert!(source(layer).await.contains("redis"));
    }
    for node in &cluster.0 {
        let names = format!("{:?}", node.run(&["KEYS", "*"]));
        assert!(names.contains("ratelimit:{") && !names.contains("caller"), "{names}");
    }
}

#[tokio::test]
async fn while_a_node_is_away_nobody_waits_and_then_it_is_back() {
    let Some(mut cluster) = Cluster::start() else { return };
    for node in &cluster.0 {
        // The others go on.
        node.run(&["CONFIG", "SET", "cluster-require-full-coverage", "no"]);
    }
    for outage in [Outage::Killed, Outage::Stopped] {
        let store = cluster.store().budget(Duration::from_millis(250));
        let layer = layer(limits(), &store);
        until(&layer, true).await;
        assert_eq!(store.ready(), Ok(()));
        // Decisions of another node do not keep the breaker closed.
        let names = [cluster.caller_at(0, &layer).await, cluster.caller_at(1, &layer).await];
        outage.begin(&mut cluster.0[1]);
        let began = Instant::now();
        let mut names = names.iter().cycle();
        while !store.is_breaker_open() {
            let called = Instant::now();
            let name = names.next().unwrap();
            send_from(&layer, &principal(name)).await;
            assert!(called.elapsed() < Duration::from_secs(2), "{:?}", called.elapsed());
            assert!(began.elapsed() < LONG, "the breaker stays closed");
        }
        println!("{outage:?}: the breaker is open after {:?}", began.elapsed());
        let began = Instant::now();
        for name in callers() {
            send_from(&layer, &principal(&name)).await;
        }
        assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
        assert!(store.ready().is_err());
        // No probe of the other nodes closes it.
        let before = cluster.probes(&[0, 2]);
        while cluster.probes(&[0, 2]) < before + 4 {
            assert!(store.is_breaker_open());
            tokio::task::yield_now().await;
        }
        outage.end(&mut cluster.0[1]);
        let back = until(&layer, true).await;
        println!("back after {back:?}");
        cluster.wait();
        for name in callers() {
            let called = send_from(&layer, &principal(&name)).await;
            assert!(called.field("ratelimit.source").unwrap().contains("redis"), "{name}");
        }
    }
}

#[tokio::test]
async fn a_slot_that_moves_is_followed() {
    let Some(cluster) = Cluster::start() else { return };
    let store = cluster.store();
    let layer = layer(Quota::per_hour(9).by(Key::principal()), &store);
    let ann = principal("ann");
    assert_eq!(passes(&layer, &ann, 3).await, 3);
    let (place, key) = cluster.find_key();
    let (from, to) = (&cluster.0[place], &cluster.0[(place + 1) % 3]);
    let slot: u16 = redis::from_redis_value(from.run(&["CLUSTER", "KEYSLOT", &key])).unwrap();
    let slot = slot.to_string();
    let id = |node: &RedisServer| node.text(&["CLUSTER", "MYID"]);
    to.run(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &id(from)]);
    from.run(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &id(to)]);
    assert_eq!(passes(&layer, &ann, 1).await, 1);
    let port = to.port.to_string();
    from.run(&["MIGRATE", "127.0.0.1", &port, &key, "0", "5000"]);
    // The new node does not have the script.
    to.run(&["SCRIPT", "FLUSH"]);
    assert_eq!(passes(&layer, &ann, 2).await, 2);
    for node in [to, from] {
        node.run(&["CLUSTER", "SETSLOT", &slot, "NODE", &id(to)]);
    }
    assert_eq!(passes(&layer, &ann, 5).await, 3);
    let refused = send_from(&layer, &ann).await;
    assert!(refused.field("ratelimit.source").unwrap().contains("redis"));
    assert_eq!(store.ready(), Ok(()));
    assert_eq!(to.run(&["EXISTS", &key]), redis::Value::Int(1));
}

#[tokio::test]
async fn a_failover_to_a_replica_is_followed() {
    let Some(mut cluster) = Cluster::start() else { return };
    let store = cluster.store();
    let layer = layer(limits(), &store);
    for caller in callers() {
        assert_eq!(passes(&layer, &principal(&caller), 2).await, 2);
    }
    let Some(replica) = start_node() else { return };
    cluster.meet(&replica);
    cluster.0.push(replica);
    cluster.wait();
    let (primary, replica) = (&cluster.0[0], &cluster.0[3]);
    replica.run(&["CLUSTER", "REPLICATE", &primary.text(&["CLUSTER", "MYID"])]);
    let replication = |node: &RedisServer| node.text(&["INFO", "replication"]);
    wait_for("a replica", || replication(replica).contains("master_link_status:up"));
    primary.run(&["WAIT", "1", "5000"]);
    replica.run(&["CLUSTER", "FAILOVER", "TAKEOVER"]);
    wait_for("a failover", || {
        replication(replica).contains("role:master") && replication(primary).contains("role:slave")
    });
    until(&layer, true).await;
    // The replica has the counts, and gets the script.
    for caller in callers() {
        assert_eq!(passes(&layer, &principal(&caller), 3).await, 1, "{caller}");
    }
    assert_eq!(store.ready(), Ok(()));
}

#[tokio::test]
async fn what_is_wrong_with_a_cluster_is_named_and_the_password_is_not_shown() {
    let none: [&str; 0] = [];
    let errors = [
        RedisStore::cluster(none),
        RedisStore::cluster(["redis://:one@localhost", "redis://:hunter2@localhost:6380"]),
        RedisStore::cluster(["redis+unix:///hunter2"]),
    ];
    for error in errors {
        let error = error.unwrap_err();
        assert_eq!(error, StoreError::Urls);
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
    let store = RedisStore::cluster([format!("redis://127.0.0.1:{}", free_port())]).unwrap();
    let store = store.budget(LONG);
    let layer = layer(limits(), &store);
    until(&layer, false).await;
    assert!(matches!(store.ready(), Err(StoreError::Unreachable(_))), "{:?}", store.ready());

    let Some(cluster) = Cluster::start() else { return };
    let store = RedisStore::cluster([cluster.0[0].url()]).unwrap();
    let wrong = store.credentials(Some("limiter"), "hunter2").budget(LONG);
    let layer = crate::layer(limits(), &wrong);
    until(&layer, false).await;
    assert_eq!(wrong.ready(), Err(StoreError::Login));
}
