//! The simplified two-layer model.
