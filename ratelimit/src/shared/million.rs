//! What a million keys take in Redis.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::script::{Ask, LUA, call};
use super::store::RedisStore;
use crate::redis_server::RedisServer;

const KEYS: usize = 1_000_000;

/// How many decisions are sent at once.
const CHUNK: usize = 10_000;

/// How long a burst takes to be full again, and so when its key expires.
const LASTS: Duration = Duration::from_secs(10);

/// The answer to each call: it passes, and the burst was full.
const PASSES: &[u8] = b"*2\r\n:1\r\n:0\r\n";

#[test]
#[ignore = "takes half a minute; `.ci/redis` runs it"]
#[allow(clippy::print_stdout)]
fn a_million_keys_take_at_most_160_bytes_each_and_give_them_back() {
    let Some(server) = RedisServer::start(&["--enable-debug-command", "local"]) else { return };
    // However long it takes to make the last key, the first one is still there.
    server.run(&["DEBUG", "SET-ACTIVE-EXPIRE", "0"]);
    let (before, began) = (used_memory(&server), Instant::now());
    call_for_all(&server);
    let made = began.elapsed();
    assert_eq!(server.keys(), KEYS as i64);
    let taken = used_memory(&server) - before;
    let each = taken as f64 / KEYS as f64;
    println!("a million keys, made in {made:.1?}, take {each:.1} bytes each");
    assert!(each <= 160.0, "{each}");

    server.run(&["DEBUG", "SET-ACTIVE-EXPIRE", "1"]);
    let began = Instant::now();
    // The tables of keys become small again, too.
    let left = || used_memory(&server).saturating_sub(before);
    while server.keys() > 0 || left() > taken / 100 {
        let waited = began.elapsed();
        assert!(waited < 6 * LASTS, "{} keys, {} bytes", server.keys(), left());
        // Redis waits for a replica that does not exist. Ten times in a second it removes expired keys.
        server.run(&["WAIT", "1", "100"]);
    }
    println!("{} bytes of them are left {:.1?} later", left(), began.elapsed());
}

/// Makes a call for each key, as a layer makes it, without waiting for the answer to the one before.
fn call_for_all(server: &RedisServer) {
    let hash = server.text(&["SCRIPT", "LOAD", LUA]);
    let store = RedisStore::connect(&server.url()).expect("a URL");
    let mut to = TcpStream::connect(("127.0.0.1", server.port)).expect("it runs");
    let mut from = to.try_clone().expect("a socket");
    let writer = std::thread::spawn(move || {
        let lasts = u64::try_from(LASTS.as_nanos()).expect("less than centuries");
        let mut callers = 0..KEYS;
        while !callers.is_empty() {
            let mut calls = Vec::new();
            for caller in callers.by_ref().take(CHUNK) {
                // Any number has the length of a hash.
                let key = store.key(None, caller as u128);
                let ask = Ask { key, take: lasts, capacity: lasts, shadow: false };
                call("EVALSHA", &hash, &[ask]).write_packed_command(&mut calls);
            }
            to.write_all(&calls).expect("Redis reads");
        }
    });
    let expected = PASSES.repeat(CHUNK);
    let mut answers = expected.clone();
    for _ in 0..KEYS / CHUNK {
        from.read_exact(&mut answers).expect("Redis answers");
        assert!(answers == expected, "a call does not pass");
    }
    writer.join().expect("all calls are sent");
}

/// The memory that Redis uses for data, in bytes.
fn used_memory(server: &RedisServer) -> u64 {
    let info = server.text(&["INFO", "memory"]);
    let used = info.lines().find_map(|line| line.strip_prefix("used_memory:"));
    used.and_then(|used| used.parse().ok()).expect("the used memory")
}
