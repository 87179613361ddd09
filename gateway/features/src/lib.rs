//! Nothing: see the manifest of this package.
