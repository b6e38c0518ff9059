//! Student's paired t-test, two-sided.

use super::count::number;
use super::incomplete_beta::incomplete_beta;
use crate::error::DatasetError;

/// The outcome of a paired t-test.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TTest {
    /// Mean of `left - right`.
    pub difference: f64,
    /// The statistic; infinite if all differences are the same and not zero.
    pub t: f64,
    /// Pairs less one.
    pub degrees_of_freedom: usize,
    /// Probability of a `|t|` at least this large if the means were equal; 1 if all pairs are
    /// equal.
    pub p: f64,
}

/// Compares two systems by their values for the same queries, in the same order.
///
/// # Errors
/// When the lists differ in length, hold fewer than two values, or one that is not finite.
pub fn paired_t_test(left: &[f64], right: &[f64]) -> Result<TTest, DatasetError> {
    let differences = differences(left, right)?;
    let n = number(differences.len());
    let degrees_of_freedom = differences.len() - 1;
    let difference = differences.iter().sum::<f64>() / n;
    let squares: f64 = differences.iter().map(|d| (d - difference).powi(2)).sum();
    let freedom = n - 1.0;
    let error = (squares / freedom / n).sqrt();
    let (t, p) = if difference == 0.0 {
        (0.0, 1.0)
    } else if error == 0.0 {
        (f64::INFINITY.copysign(difference), 0.0)
    } else {
        let t = difference / error;
        (t, incomplete_beta(freedom / 2.0, 0.5, freedom / (freedom + t * t)))
    };
    Ok(TTest { difference, t, degrees_of_freedom, p })
}

pub(crate) fn differences(left: &[f64], right: &[f64]) -> Result<Vec<f64>, DatasetError> {
    let differences: Vec<f64> = left.iter().zip(right).map(|(l, r)| l - r).collect();
    let sound = left.len() == right.len()
        && differences.len() >= 2
        && differences.iter().all(|d| d.is_finite());
    if sound {
        Ok(differences)
    } else {
        Err(DatasetError::Pairs { left: left.len(), right: right.len() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `scipy.stats.ttest_rel(left, right)`.
    #[test]
    fn known_values() {
        let known: [(&[f64], &[f64], f64, f64); 4] = [
            (&[0.238, 0.544], &[0.086, 0.486], 2.2340425531914914, 0.26793553932563274),
            (
                &[0.626, 0.066, 0.013, 0.837, 0.259],
                &[0.22, 0.0, 0.0, 0.672, 0.0],
                2.5917165115452003,
                0.06057423325156579,
            ),
            (
                &[
                    0.639, 0.151, 0.635, 0.868, 0.523, 0.741, 0.671, 0.064, 0.758, 0.591, 0.301,
                    0.031,
                ],
                &[0.765, 0.12, 0.703, 1.0, 0.589, 0.889, 0.609, 0.164, 0.716, 0.745, 0.433, 0.0],
                -2.661944171210036,
                0.022109809604586885,
            ),
            (
                &[
                    0.136, 0.217, 0.965, 0.436, 0.627, 0.301, 0.507, 0.386, 0.351, 0.585, 0.584,
                    0.904, 0.682, 0.929, 0.856, 0.991, 0.671, 0.163, 0.861, 0.965,
                ],
                &[
                    0.098, 0.045, 0.851, 0.12, 0.56, 0.13, 0.221, 0.011, 0.293, 0.581, 0.219,
                    0.824, 0.446, 0.589, 0.574, 0.899, 0.62, 0.0, 0.707, 0.583,
                ],
                6.671571076565647,
                2.2220612632206348e-06,
            ),
        ];
        for (left, right, t, p) in known {
            let got = paired_t_test(left, right).unwrap();
            assert!(
                (got.t - t).abs() < 1e-9 * t.abs() && (got.p - p).abs() < 1e-10,
                "{got:?} {t} {p}"
            );
            assert_eq!(got.degrees_of_freedom, left.len() - 1);
        }
    }

    #[test]
    fn corners() {
        assert!(paired_t_test(&[1.0, 2.0], &[1.0]).is_err());
        assert!(paired_t_test(&[1.0], &[1.0]).is_err());
        assert!(paired_t_test(&[1.0, f64::NAN], &[1.0, 1.0]).is_err());
        let same = paired_t_test(&[0.5, 0.25], &[0.5, 0.25]).unwrap();
        assert_eq!((same.t, same.p), (0.0, 1.0));
        let shifted = paired_t_test(&[1.0, 2.0], &[2.0, 3.0]).unwrap();
        assert_eq!((shifted.t, shifted.p), (f64::NEG_INFINITY, 0.0));
    }
}
