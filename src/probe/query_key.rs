//! query_key
