//! Creates certificates for a test server, with OpenSSL.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Files in PEM.
#[derive(Debug)]
pub(crate) struct Certificates {
    /// Of the server, for its address.
    pub(crate) certificate: PathBuf,
    /// Its key.
    pub(crate) key: PathBuf,
    /// Of who signed it.
    pub(crate) authority: PathBuf,
    /// Of who did not.
    pub(crate) stranger: PathBuf,
}

impl Certificates {
    /// Makes them in this folder.
    pub(crate) fn make(folder: &Path, ip: IpAddr) -> Self {
        let file = |name: &str| folder.join(name);
        let of = |name: &str, more: &[&str]| {
            let (certificate, key) = (file(&format!("{name}.pem")), file(&format!("{name}.key")));
            let made = Command::new("openssl")
                .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"])
                .args(["-nodes", "-days", "2", "-subj", &format!("/CN={name}")])
                .arg("-out")
                .arg(&certificate)
                .arg("-keyout")
                .arg(&key)
                .args(more)
                .output()
                .expect("OpenSSL");
            assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
            (certificate, key)
        };
        let (authority, authority_key) = of("authority", &[]);
        let (stranger, _) = of("stranger", &[]);
        let path = |path: &PathBuf| path.to_str().expect("a path in UTF-8").to_owned();
        let signed_by = [path(&authority), path(&authority_key)];
        let name = format!("subjectAltName=IP:{ip}");
        let more = ["-CA", &signed_by[0], "-CAkey", &signed_by[1], "-addext", &name];
        let more = [&more[..], &["-addext", "basicConstraints=critical,CA:FALSE"]].concat();
        let (certificate, key) = of("server", &more);
        Self { certificate, key, authority, stranger }
    }
}
