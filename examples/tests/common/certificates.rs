//! Certificates of a test, in a folder.

use std::fs;
use std::path::PathBuf;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType,
    date_time_ymd,
};
use tempfile::TempDir;

/// A CA, and files of certificates that it has issued.
pub struct Certificates {
    folder: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Certificates {
    /// A CA, whose certificate is in `ca.crt`, and a certificate of it for a server and for a client.
    pub fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        // Each CA has a name of its own.
        let number = key.public_key_raw()[1..5].iter().map(u8::to_string).collect::<String>();
        params.distinguished_name.push(DnType::CommonName, format!("CA {number} of a test"));
        let pem = params.self_signed(&key).unwrap().pem();
        let made = Self { folder: tempfile::tempdir().unwrap(), issuer: Issuer::new(params, key) };
        made.write("ca.crt", &pem);
        made.issue("server");
        made.issue("client");
        made
    }

    /// A file of the folder.
    pub fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    pub fn write(&self, name: &str, text: &str) {
        // Never half-written.
        let draft = PathBuf::from(self.path("draft"));
        fs::write(&draft, text).unwrap();
        fs::rename(&draft, self.path(name)).unwrap();
    }

    /// Issues `NAME.crt` and `NAME.key` for `localhost`, anew if they exist.
    pub fn issue(&self, name: &str) {
        self.issue_until(name, 4000);
    }

    /// Issues them for another host.
    pub fn issue_for(&self, name: &str, host: &str) {
        self.issue_as(name, 4000, vec![SanType::DnsName(host.try_into().unwrap())]);
    }

    /// Issues them until the new year of a year.
    pub fn issue_until(&self, name: &str, year: i32) {
        let localhost = SanType::DnsName("localhost".try_into().unwrap());
        self.issue_as(name, year, vec![localhost, SanType::IpAddress([127, 0, 0, 1].into())]);
    }

    /// Issues them with these names in the subjectAltName, which can be none.
    pub fn issue_named(&self, name: &str, names: &[SanType]) {
        self.issue_as(name, 4000, names.to_vec());
    }

    /// The certificate in a file of the folder, as DER.
    pub fn der(&self, name: &str) -> Vec<u8> {
        let pem = fs::read(self.path(name)).unwrap();
        x509_parser::pem::parse_x509_pem(&pem).unwrap().1.contents
    }

    fn issue_as(&self, name: &str, year: i32, names: Vec<SanType>) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.distinguished_name.push(DnType::CommonName, name);
        params.subject_alt_names = names;
        params.not_after = date_time_ymd(year, 1, 1);
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        self.write(&format!("{name}.key"), &key.serialize_pem());
        self.write(&format!("{name}.crt"), &certificate);
    }

    /// The flags of a server.
    pub fn serve(&self) -> Vec<String> {
        ["--tls-cert", &self.path("server.crt"), "--tls-key", &self.path("server.key")]
            .map(str::to_owned)
            .to_vec()
    }

    /// The flags of a server that verifies its clients.
    pub fn serve_mutual(&self) -> Vec<String> {
        [self.serve(), vec!["--client-ca".to_owned(), self.path("ca.crt")]].concat()
    }

    /// The flags of a client without a certificate.
    pub fn call(&self) -> Vec<String> {
        vec!["--tls-ca".to_owned(), self.path("ca.crt")]
    }

    /// The flags of a client with a certificate.
    pub fn call_mutual(&self) -> Vec<String> {
        self.call_with("client")
    }

    /// The flags of a client with the certificate of that name.
    pub fn call_with(&self, name: &str) -> Vec<String> {
        let [certificate, key] = ["crt", "key"].map(|kind| self.path(&format!("{name}.{kind}")));
        [self.call(), vec!["--tls-cert".to_owned(), certificate, "--tls-key".to_owned(), key]]
            .concat()
    }
}

/// A URI in the subjectAltName.
pub fn uri(uri: &str) -> SanType {
    SanType::URI(uri.try_into().unwrap())
}

/// Flags as a slice of texts.
pub fn texts(flags: &[String]) -> Vec<&str> {
    flags.iter().map(String::as_str).collect()
}
