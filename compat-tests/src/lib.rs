//! Outside clients and the reference server against Quoll. The suites are programs of their own; see `src/bin`.
