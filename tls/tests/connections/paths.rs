//! Paths that name something else than a good file.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tonic_tls_reload::{ServerTls, ServerTlsBuilder, TlsError};

use crate::support::{self, Ca, Secret, client_config, connect, server, versions};

/// The error of `build`, which must not block.
fn error(builder: ServerTlsBuilder) -> TlsError {
    let (sender, built) = mpsc::channel();
    thread::spawn(move || sender.send(builder.build().map(|_| ())));
    built.recv_timeout(Duration::from_secs(20)).expect("`build` does not block").unwrap_err()
}

/// Replaces the key by something that is no file. Each name is that of the error.
fn replace_key(secret: &Secret, by: &str) {
    let path = secret.path("tls.key");
    fs::remove_file(&path).unwrap();
    match by {
        "pipe" => assert!(Command::new("mkfifo").arg(&path).status().unwrap().success()),
        "folder" => fs::create_dir(&path).unwrap(),
        "device" => symlink("/dev/zero", &path).unwrap(),
        "loop" => symlink("tls.key", &path).unwrap(),
        "large" => File::create(&path).unwrap().set_len(16 * 1024 * 1024 + 1).unwrap(),
        _ => unreachable!(),
    }
}

const BAD: [(&str, &str); 5] = [
    ("pipe", "can't be read: it is not a regular file"),
    ("folder", "can't be read: it is not a regular file"),
    ("device", "can't be read: it is not a regular file"),
    ("loop", "can't be read: Too many levels of symbolic links (os error 40)"),
    ("large", "is larger than 16 MiB"),
];

/// Guards against: opening a named pipe blocks until something writes to it.
#[tokio::test(start_paused = true)]
async fn what_is_no_regular_file_is_refused_at_the_start_and_later() {
    let ca = Ca::new("ca");
    for (what, why) in BAD {
        let secret = Secret::new(&ca.server(), &[&ca]);
        let tls = server(&secret).build().unwrap();
        replace_key(&secret, what);
        let path = secret.path("tls.key");
        let expected = format!("the private key file {} {why}", path.display());
        assert_eq!(error(server(&secret)).to_string(), expected);
        let refused = tokio::time::timeout(Duration::from_secs(60), tls.reload()).await;
        assert_eq!(refused.unwrap().unwrap_err().to_string(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_folder_that_is_removed_changes_nothing_until_it_is_back() {
    let ca = Ca::new("ca");
    let secret = Secret::new(&ca.server(), &[&ca]);
    let files = secret.path("files");
    let write = |identity: &support::Identity| {
        fs::create_dir(&files).unwrap();
        fs::write(files.join("tls.crt"), &identity.certificate).unwrap();
        fs::write(files.join("tls.key"), &identity.key).unwrap();
    };
    write(&ca.server());
    let tls = ServerTls::from_files(files.join("tls.crt"), files.join("tls.key"))
        .with_provider(support::provider())
        .build()
        .unwrap();
    fs::remove_dir_all(&files).unwrap();
    let error = tls.reload().await.unwrap_err();
    assert_eq!(error.problem().as_str(), "unreadable");
    let client = Arc::new(client_config(&ca, None, &versions()));
    connect(&tls, &client).await.map(|_| ()).unwrap();
    write(&ca.server());
    assert_eq!(tls.reload().await, Ok(true));
    assert_eq!(tls.status().error, None);
}

/// Guards against: a bundle of CAs in the place of the certificate, with which each handshake fails.
#[test]
fn a_chain_that_no_client_accepts_is_refused() {
    let ca = Ca::new("ca");
    let identity = ca.server();
    let secret = Secret::new(&identity, &[&ca]);
    let certificate = |length| format!("{}{}", identity.certificate, ca.pem.repeat(length));
    secret.write("tls.crt", &certificate(10));
    server(&secret).build().unwrap();
    secret.write("tls.crt", &certificate(200));
    let error = error(server(&secret)).to_string();
    assert!(error.ends_with("longer than 64 KiB together, and peers refuse that"), "{error}");
}

/// Guards against: the names of more CAs than one handshake message can hold.
#[tokio::test]
async fn many_cas_with_long_names_verify_clients() {
    let ca = Ca::new("ca");
    let others: Vec<_> = (0..70).map(|number| Ca::new(&format!("{number:01000}"))).collect();
    let mut cas: Vec<&Ca> = others.iter().collect();
    cas.push(&ca);
    let secret = Secret::new(&ca.server(), &cas);
    let tls = server(&secret).client_ca(secret.path("ca.crt")).build().unwrap();
    for version in versions() {
        let client = Arc::new(client_config(&ca, Some(&ca.client(&[])), &[version]));
        connect(&tls, &client).await.map(|_| ()).unwrap();
        let none = Arc::new(client_config(&ca, None, &[version]));
        connect(&tls, &none).await.map(|_| ()).unwrap_err();
    }
}
