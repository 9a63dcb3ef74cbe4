//! Rows for who may do what: authentication, TLS, SASL.
//!
//! Rows only; see the parent for their meaning.

use super::Fallback::{Bool, Derived, Int, Text, Unset};
use super::Status::{NotYet, Supported};
use super::{Feature, Key, rows};

const TLS: super::Status = NotYet(Feature::Tls);
const SASL_: super::Status = NotYet(Feature::Sasl);

pub(super) const AUTH: &[Key] = rows! { Auth:
    System "skipACL", "auth.skip_acl", OffUnlessYes, Bool(false), Supported, "only yes turns it on",
        "Skips every ACL check";
    System "authProvider.*", "auth.providers", Family, Unset, NotYet(Feature::Providers),
        "a class that cannot be loaded is left out with a warning",
        "Class of a further authentication provider; the suffix only makes the key unique";
    System "DigestAuthenticationProvider.enabled", "auth.digest", Bool, Bool(true), Supported, "",
        "Offers the scheme digest";
    System "DigestAuthenticationProvider.superDigest", "auth.super_digest", Text, Unset, Supported,
        "super:<base64 of the hash of super:password>",
        "User and password digest that become super";
    System "DigestAuthenticationProvider.digestAlg", "auth.digest_algorithm", Text, Text("SHA1"), Supported,
        "an unknown name stops the start",
        "Hash of the scheme digest";
    System "enforce.auth.enabled", "auth.enforce", Bool, Bool(false), Supported, "needs enforce.auth.schemes",
        "Refuses connections that did not authenticate";
    System "enforce.auth.schemes", "auth.enforce_schemes", List, Unset, Supported, "schemes that have a provider",
        "Schemes of which one must have succeeded";
    System "sessionRequireClientSASLAuth", "auth.require_sasl", Bool, Bool(false), SASL_, "needs the SASL provider",
        "The same as enforce.auth.enabled with the scheme sasl";
    System "X509AuthenticationProvider.superUser", "auth.x509_super_user", Text, Unset, TLS, "RFC 2253 form",
        "Certificate subject that becomes super";
    System "superUser", "auth.sasl_super_user", Text, Unset, SASL_, "", "SASL identity that becomes super";
    System "superUser.*", "auth.sasl_super_users", Family, Unset, SASL_, "", "Further SASL identities that become super";
    System "ensembleAuthName", "auth.ensemble_names", List, Unset, NotYet(Feature::Providers), "",
        "Names accepted by the scheme ensemble";
    System "IPAuthenticationProvider.usexforwardedfor", "auth.use_x_forwarded_for", Bool, Bool(false),
        NotYet(Feature::Admin), "", "Lets the admin server take the client address from X-Forwarded-For";
};

macro_rules! store_rows {
    ($prefix:literal, $toml:literal, $hosts:expr, $protocols:expr) => {
        rows! { Tls:
            System concat!($prefix, "keyStore.location"), concat!($toml, "key_store"), Path, Unset, TLS, "",
                "File with the server's key and certificates";
            System concat!($prefix, "keyStore.password"), concat!($toml, "key_store_password"), Text, Text(""), TLS, "",
                "Password of that file";
            System concat!($prefix, "keyStore.passwordPath"), concat!($toml, "key_store_password_path"), Path, Unset, TLS,
                "wins over the password", "File that holds the password";
            System concat!($prefix, "keyStore.type"), concat!($toml, "key_store_type"), Text, Derived("by file name"), TLS,
                "JKS, PEM, PKCS12 or BCFKS", "Format of that file";
            System concat!($prefix, "trustStore.location"), concat!($toml, "trust_store"), Path, Unset, TLS, "",
                "File with the certificates that are trusted";
            System concat!($prefix, "trustStore.password"), concat!($toml, "trust_store_password"), Text, Text(""), TLS, "",
                "Password of that file";
            System concat!($prefix, "trustStore.passwordPath"), concat!($toml, "trust_store_password_path"), Path, Unset,
                TLS, "wins over the password", "File that holds the password";
            System concat!($prefix, "trustStore.type"), concat!($toml, "trust_store_type"), Text, Derived("by file name"),
                TLS, "JKS, PEM, PKCS12 or BCFKS", "Format of that file";
            System concat!($prefix, "protocol"), concat!($toml, "protocol"), Text, Text("TLSv1.3"), TLS, "",
                "Protocol version";
            System concat!($prefix, "enabledProtocols"), concat!($toml, "enabled_protocols"), List, Derived($protocols), TLS,
                "", "Protocol versions that are accepted";
            System concat!($prefix, "ciphersuites"), concat!($toml, "cipher_suites"), List,
                Derived("ECDHE with AES-GCM first"), TLS, "", "Cipher suites in order of preference";
            System concat!($prefix, "clientAuth"), concat!($toml, "client_auth"), Text, Text("need"), TLS,
                "none, want or need", "Whether the connecting side must show a certificate";
            System concat!($prefix, "hostnameVerification"), concat!($toml, "verify_host"), Bool, Bool(true), TLS, "",
                "Checks the host name of the peer that is connected to";
            System concat!($prefix, "clientHostnameVerification"), concat!($toml, "verify_client_host"), Bool, Bool($hosts),
                TLS, "needs hostnameVerification", "Checks the host name of the peer that connects";
            System concat!($prefix, "allowReverseDnsLookup"), concat!($toml, "reverse_lookup"), Bool, Bool($hosts), TLS,
                "only outside FIPS mode", "Looks up the name of a peer known by address";
            System concat!($prefix, "crl"), concat!($toml, "crl"), Bool, Bool(false), TLS, "",
                "Checks revocation lists";
            System concat!($prefix, "ocsp"), concat!($toml, "ocsp"), Bool, Bool(false), TLS, "",
                "Asks for revocation online";
            System concat!($prefix, "context.supplier.class"), concat!($toml, "context_class"), Class, Unset, TLS, "",
                "Class that supplies the TLS context";
            System concat!($prefix, "handshakeDetectionTimeoutMillis"), concat!($toml, "detection_timeout_ms"), Int,
                Int(5_000), TLS, "below 1 means the default", "Time to tell TLS from plain text on a shared port";
        }
    };
}

pub(super) const TLS_CLIENT: &[Key] = store_rows!("ssl.", "tls.client.", false, "protocol");
pub(super) const TLS_QUORUM: &[Key] = store_rows!("ssl.quorum.", "tls.quorum.", true, "TLSv1.3,TLSv1.2");

pub(super) const TLS_OTHER: &[Key] = rows! { Tls:
    System "ssl.authProvider", "tls.client.auth_provider", Text, Text("x509"), TLS,
        "another scheme needs authProvider.<scheme>", "Scheme that turns a certificate into an identity";
    System "ssl.sslProvider", "tls.client.implementation", Text, Text("JDK"), TLS, "JDK, OPENSSL or OPENSSL_REFCNT",
        "TLS implementation of the Java server";
    File "sslQuorum", "tls.quorum.enabled", Bool, Bool(false), TLS, "", "TLS on quorum and election ports";
    File "portUnification", "tls.quorum.port_unification", Bool, Bool(false), TLS, "",
        "Accepts TLS and plain connections on quorum and election ports";
    File "sslQuorumReloadCertFiles", "tls.quorum.reload", Bool, Bool(false), TLS, "",
        "Reads changed key and certificate files of the quorum ports again";
    System "client.certReload", "tls.client.reload", Bool, Bool(false), TLS, "",
        "Reads changed key and certificate files of the client port again";
    System "client.portUnification", "tls.client.port_unification", Bool, Bool(false), TLS, "",
        "Accepts TLS and plain connections on the client port";
    System "fips-mode", "tls.fips_mode", Bool, Bool(true), TLS, "",
        "Uses the trust manager of the platform and refuses DIGEST-MD5 in clients";
};

pub(super) const SASL: &[Key] = rows! { Sasl:
    Bare "java.security.auth.login.config", "sasl.login_config", Path, Unset, SASL_, "",
        "File with the login sections";
    System "sasl.serverconfig", "sasl.section", Text, Text("Server"), SASL_, "", "Login section of the server";
    System "allowSaslFailedClients", "sasl.allow_failed", Bool, Bool(false), SASL_, "",
        "Keeps a connection whose SASL authentication failed";
    System "letAnySaslUserDoX", "sasl.any_user_id", Text, Unset, SASL_, "",
        "ACL id of the scheme sasl that matches every SASL user";
    System "SASLAuthenticationProvider.superPassword", "sasl.super_password", Text, Unset, SASL_, "",
        "Password of the user super in DIGEST-MD5";
    System "kerberos.removeHostFromPrincipal", "sasl.kerberos_remove_host", OnlyTrue, Bool(false), SASL_, "",
        "Leaves the host out of a Kerberos identity";
    System "kerberos.removeRealmFromPrincipal", "sasl.kerberos_remove_realm", OnlyTrue, Bool(false), SASL_, "",
        "Leaves the realm out of a Kerberos identity";
    System "security.auth_to_local", "sasl.auth_to_local", Text, Text("DEFAULT"), SASL_, "",
        "Rules that map principals to names";
    System "requireKerberosConfig", "sasl.require_kerberos", Bool, Bool(false), SASL_, "",
        "Fails when there is no Kerberos configuration";
    System "kerberos.minReLoginTimeMs", "sasl.kerberos_relogin_ms", Long, Int(60_000), SASL_, "",
        "Shortest time between two logins";
    System "kinit", "sasl.kinit", Path, Text("/usr/bin/kinit"), SASL_, "", "Command that renews the ticket cache";
    Bare "zookeeper.server.realm", "sasl.realm", Text, Derived("the client's realm"), SASL_,
        "in zoo.cfg a key that starts with server. is a member", "Realm of the service";
};
