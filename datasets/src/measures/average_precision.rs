//! AP: the precisions at the places of relevant documents within the cutoff, summed, over the
//! number of all relevant documents; zero if there are none.

use super::count::number;
use super::judged::Judged;

pub(crate) fn average_precision(judged: &Judged, cutoff: Option<usize>, relevant: i32) -> f64 {
    let all = judged.relevant(relevant);
    if all == 0 {
        return 0.0;
    }
    let precisions = judged
        .hits(cutoff, relevant)
        .enumerate()
        .map(|(before, place)| number(before + 1) / number(place + 1));
    precisions.sum::<f64>() / number(all)
}
