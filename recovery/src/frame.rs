//! Classifies the frames of a stack: the program's own, or those of libraries below it.

use std::env;
use std::path::Path;

/// The crates of the runtime and of this workspace. Their frames are the same in every panic of every program.
const RUNTIME_CRATES: [&str; 50] = [
    "alloc",
    "async_trait",
    "axum",
    "axum_core",
    "backtrace",
    "bytes",
    "core",
    "futures",
    "futures_channel",
    "futures_core",
    "futures_util",
    "h2",
    "http_body",
    "http_body_util",
    "hyper",
    "hyper_util",
    "pin_project",
    "pin_project_lite",
    "scoped_tls",
    "std",
    "sync_wrapper",
    "test",
    "tokio",
    "tokio_rustls",
    "tokio_stream",
    "tokio_util",
    "tonic",
    "tonic_auth_layer",
    "tonic_balance",
    "tonic_call",
    "tonic_call_test_kit",
    "tonic_connect_layer",
    "tonic_deadline_layer",
    "tonic_layers",
    "tonic_logging_layer",
    "tonic_metrics_layer",
    "tonic_ratelimit_layer",
    "tonic_recovery_layer",
    "tonic_retry_layer",
    "tonic_tls_reload",
    "tonic_tracing_layer",
    "tonic_web",
    "tower",
    "tower_http",
    "tower_layer",
    "tower_service",
    "tracing",
    "tracing_core",
    "tracing_futures",
    "tracing_opentelemetry",
];

/// The folders of this workspace's crates, for programs that are built inside it.
const WORKSPACE_FOLDERS: [&str; 13] = [
    "auth",
    "balance",
    "call",
    "call/test-kit",
    "connect",
    "deadline",
    "logging",
    "metrics-layer",
    "ratelimit",
    "recovery",
    "retry",
    "tls",
    "tracing-layer",
];

/// The panic machinery, by function or by file. Every panic passes through it.
const PANIC_MACHINERY: [&str; 3] =
    ["core::panicking::", "std::panicking::", "tonic_recovery_layer::capture::"];
const PANIC_MACHINERY_FILES: [&str; 2] = ["/src/panicking.rs", "/src/capture.rs"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// The program itself, or a crate that it has chosen.
    Program,
    /// A crate of the runtime.
    Runtime,
    /// Never shown.
    Hidden,
}

/// Classifies a function by its name, or, if the name contains no crate, by its file. Names from debug
/// information contain no crate.
pub(crate) fn owner_of(symbol: &str, location: Option<&str>) -> Owner {
    // The entry points of programs and threads in C, and unknown symbols.
    const NAMELESS: [&str; 6] = ["_start", "<unknown>", "main", "start_thread", "clone", "clone3"];
    if symbol.starts_with("__") || NAMELESS.contains(&symbol) {
        return Owner::Hidden;
    }
    let name = crate_of(symbol).map(ToOwned::to_owned);
    let is_runtime = match (&name, location) {
        (Some(name), _) => RUNTIME_CRATES.contains(&&**name),
        (None, Some(location)) => is_runtime(location),
        (None, None) => false,
    };
    let in_machinery = PANIC_MACHINERY.iter().any(|start| symbol.starts_with(start))
        || name.is_none()
            && location.is_some_and(|at| PANIC_MACHINERY_FILES.iter().any(|of| at.contains(of)));
    match (is_runtime, in_machinery) {
        (true, true) => Owner::Hidden,
        (true, false) => Owner::Runtime,
        (false, _) => Owner::Program,
    }
}

/// The crate of a function. For `<a::B as c::D>::e` it is `a`, or `c` if `B` is a type parameter.
fn crate_of(symbol: &str) -> Option<&str> {
    let is_qualified = symbol.starts_with('<');
    let mut rest = symbol;
    loop {
        rest = rest.trim_start_matches(['<', '&', '*', '(', '[', ' ']);
        let prefixes = ["mut ", "const ", "dyn ", "impl "];
        match prefixes.iter().find_map(|prefix| rest.strip_prefix(prefix)) {
            Some(more) => rest = more,
            None => break,
        }
    }
    let is_of_a_name = |char: char| char.is_alphanumeric() || char == '_';
    let name = rest.split(|char| !is_of_a_name(char)).next().filter(|name| !name.is_empty())?;
    let after = &rest[name.len()..];
    // Newer symbol names have a hash after the crate name.
    let after = match after.strip_prefix('[') {
        Some(hash) => hash.split_once(']').map_or("", |(_, after)| after),
        None => after,
    };
    if after.starts_with("::") {
        return Some(name);
    }
    let (_, of) = rest.split_once(" as ").filter(|_| is_qualified)?;
    crate_of(of)
}

/// Whether a file belongs to a crate of the runtime.
fn is_runtime(location: &str) -> bool {
    let location = location.replace('\\', "/");
    if location.starts_with("/rustc/") || location.contains("/rustlib/src/rust/library/") {
        return true;
    }
    let folder = ["/registry/src/", "/git/checkouts/", "/vendor/"].iter().find_map(|of| {
        let (_, folder) = location.split_once(of)?;
        // Each registry has its own folder here.
        if *of == "/registry/src/" {
            folder.split_once('/').map(|(_, rest)| rest)
        } else {
            Some(folder)
        }
    });
    match folder.and_then(|folder| folder.split('/').next()) {
        Some(folder) => RUNTIME_CRATES.contains(&&*name_in(folder)),
        None => is_in_workspace(&location),
    }
}

/// The crate name in a folder name: `hyper_util` for `hyper-util-0.1.17` or `hyper-util-6f17d22bba15001f`.
fn name_in(folder: &str) -> String {
    let is_hash = |end: &str| end.len() == 16 && end.bytes().all(|byte| byte.is_ascii_hexdigit());
    let name = folder.match_indices('-').find_map(|(at, _)| {
        let end = &folder[at + 1..];
        (end.starts_with(|char: char| char.is_ascii_digit()) && end.contains('.') || is_hash(end))
            .then(|| &folder[..at])
    });
    name.unwrap_or(folder).replace('-', "_")
}

/// Whether a file belongs to a crate of this workspace, built from the workspace itself.
fn is_in_workspace(location: &str) -> bool {
    // `file!()` is relative to the workspace or absolute, depending on how the compiler was called.
    let file = file!().replace('\\', "/");
    let Some(workspace) = file.strip_suffix("recovery/src/frame.rs") else { return false };
    // The standard library omits the current directory.
    let location = match location.strip_prefix("./") {
        Some(rest) => env::current_dir().unwrap_or_default().join(rest),
        None => Path::new(location).to_owned(),
    };
    let location = location.to_string_lossy().replace('\\', "/");
    WORKSPACE_FOLDERS.iter().any(|folder| {
        let folder = format!("{workspace}{folder}/src/");
        location.starts_with(&folder) || location.contains(&format!("/{folder}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_belongs_to_the_crate_that_its_name_begins_with() {
        for (symbol, name) in [
            ("orders::service::create::{{closure}}", Some("orders")),
            ("<orders::Orders as orders::v1::Service>::get::{{closure}}", Some("orders")),
            (
                "<alloc::boxed::Box<F,A> as core::ops::function::FnOnce<Args>>::call_once",
                Some("alloc"),
            ),
            ("<F as futures_core::future::TryFuture>::try_poll", Some("futures_core")),
            ("<&mut tower::util::Oneshot<S> as core::future::Future>::poll", Some("tower")),
            ("<dyn core::any::Any>::type_id", Some("core")),
            ("core[5f8d]::ops::function::FnOnce::call_once", Some("core")),
            ("<T as orders::MethodKind>::of", Some("orders")),
            ("<(A, B) as tonic_call::Observer>::begin", Some("tonic_call")),
            ("poll<&mut dyn core::future::Future<Output=<T as orders::MethodKind>::Of>>", None),
            ("{closure#0}<orders::Orders>", None),
            ("sqlite3_step", None),
            ("", None),
        ] {
            assert_eq!(crate_of(symbol), name, "{symbol}");
        }
    }

    #[test]
    fn a_function_without_a_crate_belongs_to_the_crate_of_its_file() {
        let cargo = "/home/ann/.cargo";
        for (file, below) in [
            ("/rustc/59807616/library/core/src/future/future.rs:133:9".to_owned(), true),
            ("/opt/rust/lib/rustlib/src/rust/library/std/src/thread.rs:1:1".to_owned(), true),
            (
                format!("{cargo}/registry/src/index.crates.io-1949cf/tokio-1.52.3/src/task.rs:1:1"),
                true,
            ),
            (
                format!(
                    "{cargo}/registry/src/index.crates.io-1949cf/hyper-util-0.1.17/src/a.rs:1:1"
                ),
                true,
            ),
            (
                format!("{cargo}/registry/src/index.crates.io-1949cf/sqlx-core-0.8.6/src/a.rs:1:1"),
                false,
            ),
            (
                format!(
                    "{cargo}/git/checkouts/tonic-layers-6f17d22bba15001f/a2e3213/call/src/a.rs:1:1"
                ),
                true,
            ),
            ("/home/ann/orders/vendor/h2/src/lib.rs:1:1".to_owned(), true),
            ("/home/ann/orders/vendor/stock/src/lib.rs:1:1".to_owned(), false),
            (r"C:\Users\ann\.cargo\registry\src\index-1\tower-0.5.2\src\a.rs:1:1".to_owned(), true),
            ("/home/ann/orders/src/service/create.rs:12:5".to_owned(), false),
            ("/home/ann/orders/tokio/src/main.rs:12:5".to_owned(), false),
        ] {
            assert_eq!(is_runtime(&file), below, "{file}");
        }
    }

    #[test]
    fn the_panic_machinery_is_hidden() {
        for symbol in ["std::panicking::panic_with_hook", "__rustc::rust_begin_unwind", "clone3"] {
            assert_eq!(owner_of(symbol, None), Owner::Hidden, "{symbol}");
        }
        let core = "/rustc/0/library/core/src/panicking.rs:259:5";
        assert_eq!(owner_of("panic_display<alloc::string::String>", Some(core)), Owner::Hidden);
        // Outside the workspace its files are those of a crate like any other.
        if is_in_workspace(file!()) {
            assert_eq!(owner_of("{closure#0}", Some(file!())), Owner::Runtime);
        }
        assert_eq!(
            owner_of("orders::panicking::of", Some("./src/panicking.rs:1:1")),
            Owner::Program
        );
    }
}
