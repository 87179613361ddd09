//! The one TLS provider of the process.

/// Makes ring the process-wide TLS provider; calling it again changes nothing.
///
/// Call it before anything builds an HTTPS client or server; [`crate::open::open`] does.
pub fn install() {
    // An error only says that a provider is installed already, by an earlier call.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
