//! Reading PEM files.

use std::fs;
use std::path::Path;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::TlsError;

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|source| TlsError::File { path: path.to_owned(), source })
}

fn content(path: &Path, cause: impl Into<String>) -> TlsError {
    TlsError::Content { path: path.to_owned(), cause: cause.into() }
}

/// At least one.
pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = read(path)?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let all = all.map_err(|error| content(path, format!("is no PEM file: {error}")))?;
    if all.is_empty() {
        return Err(content(path, "holds no certificate; it must be PEM, with -----BEGIN CERTIFICATE-----"));
    }
    Ok(all)
}

pub(super) fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let text = read(path)?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|_| {
        content(path, "holds no private key; it must be PEM, unencrypted, with -----BEGIN PRIVATE KEY-----")
    })
}
