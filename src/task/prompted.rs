//! Prompts with what is known of them: a facet of tasks that make such, and of sets of prompts that a person wrote.

use std::sync::Arc;

use crate::base::prompt::Encoded;

/// Prompt `index` of a seed; `None` after the last one.
pub type Numbered = Arc<dyn Fn(u64, u64) -> Option<Encoded> + Send + Sync>;

/// What is known of a text; `None` where it is no such prompt.
pub type OfText = Arc<dyn Fn(&[u32]) -> Option<Encoded> + Send + Sync>;

/// Prompts that end where an answer is due, with the answer, a wrong one, a counterpart and positions by name, where there are such. Names that tools ask
/// for: `subject`, what a fact is about, and `attribute`, what a prompt says against a fact.
#[derive(Clone)]
pub struct Prompted {
    pub numbered: Numbered,
    pub of_text: OfText,
}

impl Prompted {
    /// Of something that both are asked of.
    pub fn new<T: Send + Sync + 'static>(
        of: Arc<T>,
        numbered: impl Fn(&T, u64, u64) -> Option<Encoded> + Send + Sync + 'static,
        of_text: impl Fn(&T, &[u32]) -> Option<Encoded> + Send + Sync + 'static,
    ) -> Self {
        let other = of.clone();
        Self {
            numbered: Arc::new(move |seed, index| numbered(&of, seed, index)),
            of_text: Arc::new(move |tokens| of_text(&other, tokens)),
        }
    }

    /// The first prompts of a seed.
    pub fn first(&self, seed: u64, most: usize) -> Vec<Encoded> {
        (0..most as u64).map_while(|index| (self.numbered)(seed, index)).collect()
    }
}
