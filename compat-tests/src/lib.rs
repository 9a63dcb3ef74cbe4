//! Outside clients and the reference server against Quoll.
