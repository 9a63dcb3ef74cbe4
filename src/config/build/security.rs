//! Authentication settings: schemes, providers, who is super.
//!
//! Which identities a connection gets is decided elsewhere; here only names and combinations are checked.
//!
//! Invariant: every enforced scheme has a provider.

use super::reader::Reader;
use crate::config::error::{ConfigError, EXIT_UNEXPECTED};
use crate::config::settings::{Auth, DigestAlgorithm, Provider};
use std::collections::BTreeSet;

pub(super) fn auth(reader: &mut Reader, secure_port: bool) -> Result<Auth, ConfigError> {
    let skip_acl = reader.switch("skipACL")?;
    let digest = reader.switch("DigestAuthenticationProvider.enabled")?;
    let providers = providers(reader);
    let digest_algorithm = digest_algorithm(reader)?;

    let mut schemes: BTreeSet<&str> = providers.iter().filter_map(|provider| provider.scheme).collect();
    schemes.insert("ip");
    if digest {
        schemes.insert("digest");
    }
    if secure_port {
        schemes.insert("x509");
    }
    let enforced_schemes = enforced(reader, &schemes)?;

    let mut sasl_super_users: Vec<String> = reader.text("superUser").into_iter().collect();
    sasl_super_users.extend(reader.family("superUser.*").into_iter().map(|(_, sourced)| sourced.value));
    Ok(Auth {
        skip_acl,
        digest,
        super_digest: reader.text("DigestAuthenticationProvider.superDigest"),
        digest_algorithm,
        enforced_schemes,
        providers,
        ensemble_names: reader.text("ensembleAuthName"),
        x509_super_user: reader.text("X509AuthenticationProvider.superUser"),
        sasl_super_users,
        any_sasl_user_id: reader.text("letAnySaslUserDoX"),
        allow_failed_sasl: reader.switch("allowSaslFailedClients")?,
        eager_acl_check: reader.switch("enableEagerACLCheck")?,
    })
}

fn providers(reader: &mut Reader) -> Vec<Provider> {
    let mut out = Vec::new();
    for (suffix, sourced) in reader.family("authProvider.*") {
        let scheme = match sourced.value.strip_prefix("org.apache.zookeeper.server.auth.") {
            Some("SASLAuthenticationProvider") => Some("sasl"),
            Some("X509AuthenticationProvider") => Some("x509"),
            Some("DigestAuthenticationProvider") => Some("digest"),
            Some("IPAuthenticationProvider") => Some("ip"),
            Some("EnsembleAuthenticationProvider") => Some("ensemble"),
            Some("KeyAuthenticationProvider") => Some("key"),
            _ => None,
        };
        if scheme.is_none() {
            reader.warn(&format!("authProvider.{suffix}"), format!("Problems loading {}", sourced.value));
        }
        out.push(Provider { suffix, class: sourced.value, scheme });
    }
    out
}

fn digest_algorithm(reader: &mut Reader) -> Result<DigestAlgorithm, ConfigError> {
    const KEY: &str = "DigestAuthenticationProvider.digestAlg";
    let name = reader.text(KEY).unwrap_or_default();
    Ok(match name.to_ascii_uppercase().as_str() {
        "SHA1" | "SHA-1" | "SHA" => DigestAlgorithm::Sha1,
        "SHA-224" | "SHA224" => DigestAlgorithm::Sha224,
        "SHA-256" | "SHA256" => DigestAlgorithm::Sha256,
        "SHA-384" | "SHA384" => DigestAlgorithm::Sha384,
        "SHA-512" | "SHA512" => DigestAlgorithm::Sha512,
        "SHA-512/224" | "SHA512/224" => DigestAlgorithm::Sha512_224,
        "SHA-512/256" | "SHA512/256" => DigestAlgorithm::Sha512_256,
        _ => {
            return Err(reader
                .fault(KEY, "no such digest algorithm")
                .expected("SHA1, SHA-224, SHA-256, SHA-384, SHA-512, SHA-512/224 or SHA-512/256")
                .code(EXIT_UNEXPECTED));
        }
    })
}

/// A certificate scheme other than x509 needs a provider under its own name. The reference looks at it while it
/// still parses, so this comes long before the rest of the group.
pub(super) fn check_certificate_scheme(reader: &mut Reader, secure_port: bool) -> Result<(), ConfigError> {
    const KEY: &str = "ssl.authProvider";
    let scheme = reader.text(KEY).unwrap_or_default();
    let known =
        scheme == "x509" || reader.properties.get(&format!("zookeeper.authProvider.{scheme}")).is_some();
    if secure_port && !known {
        return Err(reader
            .fault(KEY, format!("No auth provider configured for the SSL authentication scheme '{scheme}'."))
            .remedy(format!("add authProvider.{scheme}=<class> or use x509")));
    }
    Ok(())
}

fn enforced(
    reader: &mut Reader,
    available: &BTreeSet<&str>,
) -> Result<Option<BTreeSet<String>>, ConfigError> {
    const ENABLED: &str = "enforce.auth.enabled";
    const SCHEMES: &str = "enforce.auth.schemes";
    const SASL: &str = "sessionRequireClientSASLAuth";
    let sasl = reader.switch(SASL)?;
    let enabled = reader.switch(ENABLED)?;
    let list = reader.text(SCHEMES);
    if !sasl && !enabled {
        return Ok(None);
    }
    let mut schemes: BTreeSet<String> = BTreeSet::new();
    if sasl {
        schemes.insert("sasl".to_owned());
    } else {
        schemes.extend(list.iter().flat_map(|list| list.split(',')).map(|word| word.trim().to_owned()));
        schemes.remove("");
    }
    if schemes.is_empty() {
        return Err(reader
            .fault(ENABLED, format!("zookeeper.{ENABLED} is true but zookeeper.{SCHEMES} is not set"))
            .remedy(format!("add for example {SCHEMES}=digest")));
    }
    let key = if sasl { SASL } else { SCHEMES };
    if let Some(scheme) = schemes.iter().find(|scheme| !available.contains(scheme.as_str())) {
        return Err(reader
            .fault(key, format!("Authentication scheme {scheme} is not available."))
            .expected(available.iter().copied().collect::<Vec<_>>().join(", "))
            .remedy("register further providers with authProvider.N"));
    }
    Ok(Some(schemes))
}
