//! Weights added up by term: an array over all terms, and a list of those that have a sum.

/// Sums by term. They are all 0 between uses, so that the memory is used again.
#[derive(Debug, Default)]
pub(crate) struct TermSums {
    by_term: Vec<f64>,
    touched: Vec<u32>,
}

impl TermSums {
    /// Makes room for the terms below `terms`.
    pub(crate) fn fit(&mut self, terms: u32) {
        self.by_term.resize(terms as usize, 0.0);
    }

    /// Adds a weight above 0. Terms without room are left out.
    pub(crate) fn add(&mut self, term: u32, weight: f64) {
        let Some(sum) = self.by_term.get_mut(term as usize) else { return };
        if *sum == 0.0 {
            self.touched.push(term);
        }
        *sum += weight;
    }

    /// The terms that have a sum, with it. Cost: linear in their number.
    pub(crate) fn drain(&mut self) -> Vec<(u32, f64)> {
        let Self { by_term, touched } = self;
        touched.drain(..).map(|term| (term, std::mem::take(&mut by_term[term as usize]))).collect()
    }
}
