//! A Redis server of a test, on a free port.
#![allow(dead_code, clippy::print_stdout, clippy::unwrap_used)]

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

/// Ends with the test.
#[derive(Debug)]
pub(crate) struct RedisServer {
    child: Child,
    port: u16,
    settings: Vec<String>,
    password: Option<String>,
}

impl RedisServer {
    /// Starts a server, with settings such as `--requirepass`; `None` if `redis-server` is not installed. That is a
    /// failure if `REDIS_REQUIRE` is 1.
    pub(crate) fn start(settings: &[&str]) -> Option<Self> {
        let settings: Vec<_> = settings.iter().map(ToString::to_string).collect();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        match spawn(port, &settings) {
            Ok(child) => Some(Self { child, port, settings, password: None }),
            Err(error) => {
                let is_required = std::env::var("REDIS_REQUIRE").is_ok_and(|value| value == "1");
                assert!(!is_required, "redis-server: {error}");
                println!("skipped: redis-server: {error}");
                None
            }
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The URL with a password, which later commands of the test use, too.
    pub(crate) fn url_with(&mut self, password: &str) -> String {
        self.password = Some(password.to_owned());
        format!("redis://:{password}@127.0.0.1:{}", self.port)
    }

    /// Runs a command, and returns its result.
    pub(crate) fn run(&self, command: &[&str]) -> redis::Value {
        let url = match &self.password {
            Some(password) => format!("redis://:{password}@127.0.0.1:{}", self.port),
            None => self.url(),
        };
        let mut connection = redis::Client::open(url).unwrap().get_connection().unwrap();
        let (name, arguments) = command.split_first().unwrap();
        redis::cmd(name).arg(arguments).query(&mut connection).unwrap()
    }

    pub(crate) fn keys(&self) -> i64 {
        match self.run(&["DBSIZE"]) {
            redis::Value::Int(keys) => keys,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again after [`kill`](Self::kill), without any keys.
    pub(crate) fn restart(&mut self) {
        self.child = spawn(self.port, &self.settings).unwrap();
    }

    /// Sends a signal, such as `STOP`.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }
}

/// Returns when the server accepts connections.
fn spawn(port: u16, settings: &[String]) -> std::io::Result<Child> {
    let port = port.to_string();
    let mut child = Command::new("redis-server")
        .args(["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
        .args(settings)
        .current_dir(std::env::temp_dir())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let is_ready = lines.any(|line| line.unwrap().contains("Ready to accept connections"));
    assert!(is_ready, "redis-server has ended");
    // What it prints later must not fill the pipe.
    std::thread::spawn(move || lines.for_each(drop));
    Ok(child)
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
