use std::error::Error;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::date::date;
use super::file::{FileRole, TlsFile};

/// Why a set of files can't be used for TLS. The text names the file and the reason, also as `Debug`, which is what a
/// `main` that returns an error prints.
#[derive(Clone, PartialEq, Eq)]
pub struct TlsError {
    file: Option<TlsFile>,
    problem: Problem,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// There is no cryptography: neither of the features `tls-aws-lc` and `tls-ring` is on, and the process has no
    /// default provider.
    NoProvider,
    /// The file can't be read, or is not a regular file: for example a folder or a named pipe.
    Unreadable(String),
    /// The file is larger than 16 MiB.
    TooLarge,
    /// The file is not PEM, is cut off, or a part of it can't be parsed.
    Malformed(String),
    /// The file contains nothing of what it should contain.
    Empty,
    /// The private key belongs to another certificate than the one in this file.
    WrongKey {
        /// The file of the certificate.
        certificate: PathBuf,
    },
    /// The certificate was valid until this time.
    Expired(SystemTime),
    /// The certificate is valid from this time on.
    NotYetValid(SystemTime),
    /// The files change all the time.
    Unstable,
    /// rustls can't use it, or every peer would refuse it.
    Unusable(String),
    /// This is not the name of a SPIFFE trust domain, or it is named twice.
    TrustDomain(String),
}

impl TlsError {
    pub(crate) fn of(file: &TlsFile, problem: Problem) -> Self {
        Self { file: Some(file.clone()), problem }
    }

    pub(crate) fn without_file(problem: Problem) -> Self {
        Self { file: None, problem }
    }

    /// The file, if the problem concerns a single one.
    pub fn path(&self) -> Option<&Path> {
        self.file.as_ref().map(|file| &*file.path)
    }

    /// What the file should contain.
    pub fn role(&self) -> Option<FileRole> {
        self.file.as_ref().map(|file| file.role)
    }

    /// What is wrong.
    pub fn problem(&self) -> &Problem {
        &self.problem
    }
}

impl Problem {
    /// `no_provider`, `unreadable`, `too_large`, `malformed`, `empty`, `wrong_key`, `expired`, `not_yet_valid`,
    /// `unstable`, `unusable` or `trust_domain`. Fit for a metric label.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::NoProvider => "no_provider",
            Self::Unreadable(_) => "unreadable",
            Self::TooLarge => "too_large",
            Self::Malformed(_) => "malformed",
            Self::Empty => "empty",
            Self::WrongKey { .. } => "wrong_key",
            Self::Expired(_) => "expired",
            Self::NotYetValid(_) => "not_yet_valid",
            Self::Unstable => "unstable",
            Self::Unusable(_) => "unusable",
            Self::TrustDomain(_) => "trust_domain",
        }
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let content = self.file.as_ref().map_or("certificate", |file| file.role.content());
        if let Some(TlsFile { role, path }) = &self.file {
            write!(f, "{} {} ", role.file(), path.display())?;
        }
        match &self.problem {
            Problem::NoProvider => f.write_str(
                "there is no cryptography for TLS: enable the feature tls-aws-lc or tls-ring",
            ),
            Problem::Unreadable(why) => write!(f, "can't be read: {why}"),
            Problem::TooLarge => f.write_str("is larger than 16 MiB"),
            Problem::Malformed(why) => write!(f, "is malformed: {why}"),
            Problem::Empty => write!(f, "contains no {content} in PEM format"),
            Problem::WrongKey { certificate } => {
                write!(f, "has another key than the certificate in {}", certificate.display())
            }
            Problem::Expired(at) => write!(f, "has a certificate that expired at {}", date(*at)),
            Problem::NotYetValid(at) => {
                write!(f, "has a certificate that is not valid before {}", date(*at))
            }
            Problem::Unstable => f.write_str("the TLS files change all the time"),
            Problem::Unusable(why) => write!(f, "can't be used: {why}"),
            Problem::TrustDomain(name) => {
                write!(f, "{name:?} is not the name of a SPIFFE trust domain, or is named twice")
            }
        }
    }
}

impl fmt::Debug for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TlsError").field(&format_args!("{self}")).finish()
    }
}

impl Error for TlsError {}
