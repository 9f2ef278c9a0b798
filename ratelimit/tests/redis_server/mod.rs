//! A Redis server of a test, on a free port.
#![allow(dead_code, clippy::print_stdout, clippy::unwrap_used)]

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Ends with the test.
#[derive(Debug)]
pub(crate) struct RedisServer {
    child: Child,
    pub(crate) port: u16,
    directory: PathBuf,
    settings: Vec<String>,
    /// The line that it prints when it is ready.
    ready: &'static str,
    password: Option<String>,
}

impl RedisServer {
    /// Starts a server, with settings such as `--requirepass`; `None` if `redis-server` is not installed. That is a
    /// failure if `REDIS_REQUIRE` is 1. The variable `REDIS_SERVER` is the program to start instead.
    ///
    /// In a setting, `PORT` is the port.
    pub(crate) fn start(settings: &[&str]) -> Option<Self> {
        Self::start_with(settings, &[])
    }

    /// Starts a server that finds these files in its directory.
    pub(crate) fn start_with(settings: &[&str], files: &[(&str, &str)]) -> Option<Self> {
        let usual = ["--port", "PORT", "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"];
        Self::run_in(&[&usual, settings].concat(), files, "Ready to accept connections")
    }

    /// Starts a sentinel, which watches a primary, and finds these files in its directory.
    pub(crate) fn start_sentinel(settings: &str, files: &[(&str, &str)]) -> Option<Self> {
        let settings = format!("port PORT\nbind 127.0.0.1\n{settings}");
        let files = [files, &[("sentinel.conf", &settings)]].concat();
        Self::run_in(&["sentinel.conf", "--sentinel"], &files, "+monitor")
    }

    fn run_in(settings: &[&str], files: &[(&str, &str)], ready: &'static str) -> Option<Self> {
        let port = free_port();
        let name = format!("redis-of-a-test-{}-{port}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&directory).unwrap();
        let with_port = |text: &str| text.replace("PORT", &port.to_string());
        for (name, text) in files {
            std::fs::write(directory.join(name), with_port(text)).unwrap();
        }
        let settings: Vec<_> = settings.iter().map(|setting| with_port(setting)).collect();
        match spawn(&directory, &settings, ready) {
            Ok(child) => Some(Self { child, port, directory, settings, ready, password: None }),
            Err(error) => {
                let is_required = std::env::var("REDIS_REQUIRE").is_ok_and(|value| value == "1");
                assert!(!is_required, "redis-server: {error}");
                println!("skipped: redis-server: {error}");
                let _ = std::fs::remove_dir_all(directory);
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

    /// Runs a command, and returns its result. It runs again if its connection breaks: a server whose role changes
    /// closes them all.
    pub(crate) fn run(&self, command: &[&str]) -> redis::Value {
        let mut results = std::iter::repeat_with(|| self.try_run(command)).take(5);
        let is_cut = |error: &redis::RedisError| error.is_connection_dropped();
        results.find(|result| !result.as_ref().is_err_and(is_cut)).unwrap().unwrap()
    }

    pub(crate) fn try_run(&self, command: &[&str]) -> redis::RedisResult<redis::Value> {
        let url = match &self.password {
            Some(password) => format!("redis://:{password}@127.0.0.1:{}", self.port),
            None => self.url(),
        };
        let mut connection = redis::Client::open(url)?.get_connection()?;
        let (name, arguments) = command.split_first().unwrap();
        redis::cmd(name).arg(arguments).query(&mut connection)
    }

    /// Runs a command that returns text.
    pub(crate) fn text(&self, command: &[&str]) -> String {
        redis::from_redis_value(self.run(command)).unwrap()
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
        self.child = spawn(&self.directory, &self.settings, self.ready).unwrap();
    }

    /// Sends a signal, such as `STOP`.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }
}

/// Puts Redis out of reach, and back.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Outage {
    Killed,
    Stopped,
    /// It ends by itself.
    Paused(Duration),
    Full,
}

impl Outage {
    pub(crate) fn begin(self, redis: &mut RedisServer) {
        match self {
            Self::Killed => redis.kill(),
            Self::Stopped => redis.signal("STOP"),
            Self::Paused(time) => {
                redis.run(&["CLIENT", "PAUSE", &time.as_millis().to_string(), "ALL"]);
            }
            Self::Full => drop(redis.run(&["CONFIG", "SET", "maxmemory", "1"])),
        }
    }

    pub(crate) fn end(self, redis: &mut RedisServer) {
        match self {
            Self::Killed => redis.restart(),
            Self::Stopped => redis.signal("CONT"),
            Self::Paused(_) => {}
            Self::Full => drop(redis.run(&["CONFIG", "SET", "maxmemory", "0"])),
        }
    }
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Returns when the server is ready.
fn spawn(directory: &Path, settings: &[String], ready: &str) -> std::io::Result<Child> {
    let program = std::env::var_os("REDIS_SERVER").unwrap_or_else(|| "redis-server".into());
    let mut child = Command::new(program)
        .args(settings)
        .current_dir(directory)
        .stdout(Stdio::piped())
        .spawn()?;
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let is_ready = lines.any(|line| line.unwrap().contains(ready));
    assert!(is_ready, "redis-server has ended");
    // What it prints later must not fill the pipe.
    std::thread::spawn(move || lines.for_each(drop));
    Ok(child)
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}
