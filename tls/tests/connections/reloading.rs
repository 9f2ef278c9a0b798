//! Files that change: which are used, and what is said of the others.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tokio::time::sleep;
use tonic_tls_reload::{ClientTls, Problem, ReloadEvent, ReloadResult, ServerTls};

use crate::support::{self, Ca, Clock, Identity, Secret, client_config, connect, server, versions};

/// The two forms of encrypted keys.
const ENCRYPTED: &str =
    "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
const ENCRYPTED_EC: &str = "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\n\
    AAAA\n-----END EC PRIVATE KEY-----\n";

/// The certificate that a new connection gets.
async fn served(tls: &ServerTls, ca: &Ca) -> CertificateDer<'static> {
    let config = Arc::new(client_config(ca, None, &versions()));
    let connection = connect(tls, &config).await.unwrap();
    connection.client.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
}

fn der(identity: &Identity) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(identity.certificate.as_bytes()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn new_files_are_found_without_being_asked_for() {
    let ca = Ca::new("ca");
    let (first, second) = (ca.server(), ca.server());
    let secret = Secret::new(&first, &[&ca]);
    let (events, mut reloads) = tokio::sync::mpsc::unbounded_channel();
    let tls = server(&secret)
        .on_reload(move |event| {
            events.send((event.result, event.error.is_some(), event.status.renewals)).unwrap();
        })
        .build()
        .unwrap();
    assert_eq!(served(&tls, &ca).await, der(&first));
    secret.replace(&second, &[&ca]);
    assert_eq!(reloads.recv().await, Some((ReloadResult::Renewed, false, 1)));
    assert_eq!(served(&tls, &ca).await, der(&second));
}

#[test]
fn files_are_also_followed_if_there_is_no_runtime_yet_when_tls_is_built() {
    let ca = Ca::new("ca");
    let secret = Secret::new(&ca.server(), &[&ca]);
    let (events, mut reloads) = tokio::sync::mpsc::unbounded_channel();
    let hook = move |event: &ReloadEvent<'_>| events.send(event.result).unwrap();
    let tls = server(&secret).on_reload(hook).build().unwrap();
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async {
        served(&tls, &ca).await;
        secret.replace(&ca.server(), &[&ca]);
        assert_eq!(reloads.recv().await, Some(ReloadResult::Renewed));
    });
}

#[tokio::test(start_paused = true)]
async fn the_task_that_reads_the_files_ends_with_the_last_handle() {
    let ca = Ca::new("ca");
    let secret = Secret::new(&ca.server(), &[&ca]);
    let hook = Arc::new(());
    let held = Arc::downgrade(&hook);
    let tls = server(&secret).on_reload(move |_| drop(Arc::clone(&hook))).build().unwrap();
    let clone = tls.clone();
    drop(tls);
    assert!(held.upgrade().is_some());
    drop(clone);
    // The aborted task must be dropped, which takes a turn of the runtime.
    tokio::task::yield_now().await;
    assert!(held.upgrade().is_none());
}

#[tokio::test(start_paused = true)]
async fn files_that_are_not_good_are_refused_and_the_previous_ones_stay() {
    let ca = Ca::new("ca");
    let (first, second) = (ca.server(), ca.server());
    let half = &second.certificate[..second.certificate.len() / 2];
    let secret = Secret::new(&first, &[&ca]);
    let tls = server(&secret).client_ca(secret.path("ca.crt")).build().unwrap();
    for (name, content, problem) in [
        ("tls.crt", half, "malformed"),
        ("tls.crt", "", "empty"),
        ("tls.crt", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "malformed"),
        ("tls.key", &second.key, "wrong_key"),
        ("tls.key", &second.key[..second.key.len() / 2], "malformed"),
        ("tls.key", &second.certificate, "empty"),
        ("tls.key", ENCRYPTED, "empty"),
        ("tls.key", ENCRYPTED_EC, "empty"),
        ("ca.crt", "", "empty"),
        ("ca.crt", &ca.pem[..ca.pem.len() / 2], "malformed"),
    ] {
        secret.replace(&first, &[&ca]);
        assert_eq!(tls.reload().await, Ok(false), "{name}: {problem}");
        assert_eq!(tls.status().error, None);
        secret.write(name, content);
        let error = tls.reload().await.unwrap_err();
        assert_eq!(error.problem().as_str(), problem, "{name}: {error}");
        assert_eq!(error.path(), Some(&*secret.path(name)), "{error}");
        assert_eq!(tls.status().error, Some(error));
        let config = client_config(&ca, Some(&ca.client(&[])), &versions());
        connect(&tls, &Arc::new(config)).await.unwrap();
    }
    secret.replace(&second, &[&ca]);
    assert_eq!(tls.reload().await, Ok(true));
    assert_eq!(tls.status().error, None);
}

/// Guards against: a reload between the files of a writer that replaces one after the other.
#[tokio::test(start_paused = true)]
async fn files_are_used_when_all_of_them_are_written() {
    let (ca, other) = (Ca::new("ca"), Ca::new("other"));
    let second = ca.server();
    let secret = Secret::new(&ca.server(), &[&ca]);
    let tls = server(&secret).client_ca(secret.path("ca.crt")).build().unwrap();
    let write = async {
        secret.write("tls.crt", &second.certificate);
        sleep(Duration::from_millis(150)).await;
        secret.write("tls.key", &second.key);
        // A whole certificate, and not the whole file.
        secret.write("ca.crt", &other.pem);
        sleep(Duration::from_millis(150)).await;
        secret.write("ca.crt", &format!("{}{}", other.pem, ca.pem));
    };
    let (reloaded, ()) = tokio::join!(tls.reload(), write);
    assert_eq!(reloaded, Ok(true));
    assert_eq!(tls.status().renewals, 1);
    let client = Arc::new(client_config(&ca, Some(&ca.client(&[])), &versions()));
    connect(&tls, &client).await.map(|_| ()).unwrap();
}

#[tokio::test(start_paused = true)]
async fn files_that_change_all_the_time_are_refused() {
    let ca = Ca::new("ca");
    let secret = Secret::new(&ca.server(), &[&ca]);
    let tls = server(&secret).build().unwrap();
    let replace = || secret.replace(&ca.server(), &[&ca]);
    // Before the first look, which would find that nothing has changed.
    replace();
    let change = async {
        loop {
            sleep(Duration::from_millis(50)).await;
            replace();
        }
    };
    let reloaded = tokio::select! {
        reloaded = tls.reload() => reloaded,
        () = change => unreachable!(),
    };
    let error = reloaded.unwrap_err();
    assert_eq!((error.problem(), error.path()), (&Problem::Unstable, None));
}

#[tokio::test(start_paused = true)]
async fn a_certificate_is_used_from_its_first_day_and_an_expired_one_is_refused() {
    let ca = Ca::new("ca");
    let clock = Clock::at(2030);
    let secret = Secret::new(&ca.server_between(2029, 2031), &[&ca]);
    let tls = server(&secret).with_time_provider(Arc::new(clock.clone())).build().unwrap();

    secret.replace(&ca.server_between(2027, 2029), &[&ca]);
    let error = tls.reload().await.unwrap_err();
    let text = error.to_string();
    assert!(text.ends_with("has a certificate that expired at 2029-01-01T00:00:00Z"), "{text}");
    assert!(matches!(error.problem(), Problem::Expired(_)));

    secret.replace(&ca.server_between(2032, 2034), &[&ca]);
    let error = tls.reload().await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.ends_with("has a certificate that is not valid before 2032-01-01T00:00:00Z"),
        "{text}"
    );
    // The files are the same, and good now.
    clock.set(2033);
    assert_eq!(tls.reload().await, Ok(true));
    let not_after = tls.status().validity.unwrap().not_after;
    let seconds = not_after.duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap().as_secs();
    assert_eq!(seconds, support::new_year(2034));
}

#[tokio::test(start_paused = true)]
async fn a_thousand_reloads_at_once_renew_once() {
    let ca = Ca::new("ca");
    let secret = Secret::new(&ca.server(), &[&ca]);
    let tls = server(&secret).build().unwrap();
    secret.replace(&ca.server(), &[&ca]);
    let mut reloads = tokio::task::JoinSet::new();
    for _ in 0..1000 {
        let tls = tls.clone();
        reloads.spawn(async move { tls.reload().await });
    }
    let renewed = reloads.join_all().await;
    assert_eq!(renewed.iter().filter(|renewed| **renewed == Ok(true)).count(), 1);
    assert_eq!(renewed.iter().filter(|renewed| **renewed == Ok(false)).count(), 999);
    assert_eq!(tls.status().renewals, 1);
}

#[tokio::test(start_paused = true)]
async fn a_reload_that_is_dropped_does_not_hinder_the_next_one() {
    let ca = Ca::new("ca");
    let secret = Secret::new(&ca.server(), &[&ca]);
    let tls = server(&secret).build().unwrap();
    secret.replace(&ca.server(), &[&ca]);
    let dropped = tokio::time::timeout(Duration::from_millis(100), tls.reload()).await;
    assert!(dropped.is_err(), "the files must stay the same for 200 ms");
    assert_eq!(tls.status().renewals, 0);
    assert_eq!(tls.reload().await, Ok(true));
}

#[tokio::test(start_paused = true)]
async fn every_refusal_is_reported_to_the_hook() {
    let ca = Ca::new("ca");
    let secret = Secret::new(&ca.server(), &[&ca]);
    let events = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&events);
    let tls = server(&secret)
        .on_reload(move |event| {
            let problem = event.error.map(|error| error.problem().as_str());
            seen.lock().unwrap().push((event.result.as_str(), problem));
        })
        .build()
        .unwrap();
    secret.write("tls.crt", "");
    tls.reload().await.unwrap_err();
    tls.reload().await.unwrap_err();
    secret.replace(&ca.server(), &[&ca]);
    tls.reload().await.unwrap();
    tls.reload().await.unwrap();
    let refused = ("refused", Some("empty"));
    assert_eq!(*events.lock().unwrap(), [refused, refused, ("renewed", None)]);
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_panics_does_not_stop_the_renewal() {
    tonic_call_test_kit::silence_panics();
    let ca = Ca::new("ca");
    let (first, second) = (ca.server(), ca.server());
    let secret = Secret::new(&first, &[&ca]);
    let tls = server(&secret).on_reload(|_| panic!("on purpose")).build().unwrap();
    secret.replace(&second, &[&ca]);
    assert_eq!(tls.reload().await, Ok(true));
    assert_eq!(served(&tls, &ca).await, der(&second));
}

#[test]
fn at_the_start_an_error_names_the_file_and_the_reason() {
    let ca = Ca::new("ca");
    let secret = Secret::new(&ca.server(), &[&ca]);
    let nowhere = secret.path("nowhere.crt");
    let nowhere = nowhere.display();
    let build = |certificate: &str, key: &str, client_ca: &str| {
        let tls = ServerTls::from_files(secret.path(certificate), secret.path(key))
            .client_ca(secret.path(client_ca))
            .with_provider(support::provider());
        tls.build().map(|_| ()).unwrap_err().to_string()
    };
    assert_eq!(
        build("nowhere.crt", "tls.key", "ca.crt"),
        format!(
            "the certificate file {nowhere} can't be read: No such file or directory (os error 2)"
        )
    );
    let at = |name| secret.path(name).display().to_string();
    assert_eq!(
        build("tls.key", "tls.key", "ca.crt"),
        format!("the certificate file {} contains no certificate in PEM format", at("tls.key"))
    );
    assert_eq!(
        build("tls.crt", "ca.crt", "ca.crt"),
        format!(
            "the private key file {} contains no unencrypted private key in PEM format",
            at("ca.crt")
        )
    );
    assert_eq!(
        build("ca.crt", "tls.key", "ca.crt"),
        format!(
            "the private key file {} has another key than the certificate in {}",
            at("tls.key"),
            at("ca.crt")
        )
    );
    assert_eq!(
        build("tls.crt", "tls.key", "tls.key"),
        format!("the client CA file {} contains no certificate in PEM format", at("tls.key"))
    );
    for (from, to, reason) in [
        (2027, 2029, "has a certificate that expired at 2029-01-01T00:00:00Z"),
        (2032, 2034, "has a certificate that is not valid before 2032-01-01T00:00:00Z"),
    ] {
        secret.replace(&ca.server_between(from, to), &[&ca]);
        let clock = Arc::new(Clock::at(2030));
        let error = server(&secret).with_time_provider(clock.clone()).build().unwrap_err();
        let expected = format!("the certificate file {} {reason}", at("tls.crt"));
        assert_eq!(error.to_string(), expected);
        assert_eq!(format!("{error:?}"), format!("TlsError({expected})"));
        let client = ClientTls::from_files(secret.path("ca.crt"))
            .certificate(secret.path("tls.crt"), secret.path("tls.key"))
            .with_provider(support::provider())
            .with_time_provider(clock);
        assert_eq!(client.build().unwrap_err(), error);
    }
}
