//! interventions
