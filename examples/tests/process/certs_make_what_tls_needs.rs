use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tokio::process::Command;

use crate::common::process::{Ran, Served, orders, run};
use crate::common::soon;

/// The words of a printed command, without the program, and with other values of some.
fn arguments(line: &str, label: &str) -> Vec<String> {
    let command = line.strip_prefix(label).unwrap_or_else(|| panic!("{line:?}"));
    command.split_whitespace().skip(1).map(str::to_owned).collect()
}

fn command(arguments: &[String], folder: &Path) -> Command {
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let mut command = orders(&arguments);
    command.current_dir(folder);
    command
}

async fn certs(folder: &Path) -> Ran {
    let output = soon(orders(&["certs", "dev certs"]).current_dir(folder).output());
    output.await.unwrap().into()
}

#[tokio::test]
async fn for_a_server_and_a_client_that_are_started_as_it_says() {
    let folder = tempfile::tempdir().unwrap();
    let made = soon(orders(&["certs", "new/dev"]).current_dir(folder.path()).output());
    let made = Ran::from(made.await.unwrap());
    assert_eq!((made.code, made.err.as_str()), (Some(0), ""), "{made:?}");
    let lines: Vec<_> = made.out.lines().collect();
    let [serve, call] = lines[..] else { panic!("{made:?}") };

    let mut serve = arguments(serve, "to serve: ");
    serve.extend(["--listen", "127.0.0.1:0", "--metrics", "off"].map(str::to_owned));
    let served = Served::spawn(command(&serve, folder.path())).await;
    let port = served.address.rsplit_once(':').unwrap().1.to_owned();
    let call = arguments(call, "to call: ");
    assert!(call.contains(&"https://localhost:50051".to_owned()), "{call:?}");
    let call: Vec<_> = call.iter().map(|word| word.replace("50051", &port)).collect();
    let called = soon(command(&call, folder.path()).output()).await.unwrap();
    Ran::from(called).json();

    // Without the client's certificate there is no call.
    let anonymous: Vec<_> = call.iter().filter(|word| !word.contains("client")).cloned().collect();
    let anonymous: Vec<_> =
        anonymous.into_iter().filter(|word| word != "--tls-cert" && word != "--tls-key").collect();
    let refused = Ran::from(soon(command(&anonymous, folder.path()).output()).await.unwrap());
    assert_eq!(refused.code, Some(1), "{refused:?}");
}

#[tokio::test]
async fn keys_are_for_their_owner_and_no_file_is_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let made = certs(folder.path()).await;
    assert_eq!(made.code, Some(0), "{made:?}");
    // For a shell.
    assert!(made.out.contains("'dev certs/ca.crt'"), "{made:?}");
    let file = |name: &str| folder.path().join("dev certs").join(name);
    for name in ["ca.key", "server.key", "client.key"] {
        let mode = fs::metadata(file(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    let before = fs::read(file("server.key")).unwrap();
    let again = certs(folder.path()).await;
    assert_eq!((again.code, again.out.as_str()), (Some(1), ""));
    assert!(again.err.contains("exists and is not overwritten"), "{again:?}");
    assert_eq!(fs::read(file("server.key")).unwrap(), before);

    // One of them is enough, and no other is made then.
    for name in ["ca.crt", "ca.key", "server.crt", "server.key", "client.crt"] {
        fs::remove_file(file(name)).unwrap();
    }
    let again = certs(folder.path()).await;
    assert_eq!(again.code, Some(1), "{again:?}");
    assert_eq!(fs::read_dir(folder.path().join("dev certs")).unwrap().count(), 1);
}

#[tokio::test]
async fn each_certificate_has_one_spiffe_id() {
    use x509_parser::extensions::GeneralName;

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    assert_eq!(run(&["certs", path]).await.code, Some(0));
    for (name, id) in
        [("server", "spiffe://orders.test/server"), ("client", "spiffe://orders.test/client")]
    {
        let pem = fs::read(folder.path().join(format!("{name}.crt"))).unwrap();
        let (_, pem) = x509_parser::pem::parse_x509_pem(&pem).unwrap();
        let certificate = pem.parse_x509().unwrap();
        let names = certificate.subject_alternative_name().unwrap().unwrap();
        let uris = names.value.general_names.iter().filter_map(|name| match name {
            GeneralName::URI(uri) => Some(*uri),
            _ => None,
        });
        assert_eq!(uris.collect::<Vec<_>>(), [id]);
        assert!(certificate.validity().is_valid());
    }
}
