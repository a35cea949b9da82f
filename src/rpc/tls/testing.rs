//! Certificates for tests.

use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

use super::{MEMBER_NAME, Tls, TlsFiles};

/// An authority with members in a directory of its own.
pub(crate) struct Authority {
    dir: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        std::fs::write(dir.path().join("ca.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
        Self { dir, issuer: Issuer::new(params, key) }
    }

    /// With a certificate of this name, if one is to be had.
    pub(crate) fn files(&self, certified: Option<&str>) -> TlsFiles {
        let at = |name: &str| self.dir.path().join(name);
        let own = certified.map(|name| {
            let key = KeyPair::generate().unwrap();
            let certificate = CertificateParams::new([name.to_owned()]).unwrap().signed_by(&key, &self.issuer).unwrap();
            let (pem, pem_key) = (at(&format!("{name}.pem")), at(&format!("{name}.key")));
            std::fs::write(&pem, certificate.pem()).unwrap();
            std::fs::write(&pem_key, key.serialize_pem()).unwrap();
            (pem, pem_key)
        });
        TlsFiles { ca: at("ca.pem"), own, name: MEMBER_NAME.to_owned() }
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn tls(&self, certified: Option<&str>) -> Tls {
        Tls::load(self.files(certified)).unwrap()
    }
}
