//! What is known of predicted real numbers: which of them are followed by themselves, and how well simpler predictors do. A facet of
//! tasks of regression that have such.

use std::sync::Arc;

use crate::base::batch::Row;

/// What a reference predicts of one number at each position of a sequence; positions without a target do not count.
pub type Predict = Arc<dyn Fn(&Row) -> Vec<f32> + Send + Sync>;

/// A predictor without a network, to draw beside one.
#[derive(Clone)]
pub struct Reference {
    /// For columns: `squared_error_of_<name>`.
    pub name: &'static str,
    /// For a person: what it does.
    pub about: &'static str,
    /// Which of the predicted numbers.
    pub component: usize,
    /// Whether networks stay at it for a while before they find more: how far they are beyond it is then recorded as
    /// `explained_beyond_<name>`.
    pub is_plateau: bool,
    pub predict: Predict,
}

/// The predicted numbers of a task of regression.
#[derive(Clone, Default)]
pub struct Components {
    /// Of each predicted number a name for columns: `squared_error_<name>` and `explained_<name>`; none where there is one number,
    /// which is all of the loss.
    pub names: &'static [&'static str],
    pub references: Vec<Reference>,
}
