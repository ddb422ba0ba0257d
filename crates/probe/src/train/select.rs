//! Which step size an entry's probes keep: validation decides, and every candidate's score is kept.

use crate::score::Score;
use crate::trained::{LogEntry, Status, Trained};

/// One trained candidate and its score on the validation split.
pub struct Candidate {
    /// The probe.
    pub probe: Trained,
    /// Its score; of no meaning when it diverged.
    pub score: f64,
}

/// The probes of one entry that are kept, one a seed: those of the step size with the largest mean score on the
/// validation split over the seeds, the first of equals. A step size at which a seed diverged is kept only if all are so. Where there was
/// a choice, each kept probe's log has the scores of all candidates of its seed.
pub fn select(candidates: Vec<Candidate>, by: Score) -> Vec<Trained> {
    let mut rates: Vec<f64> = Vec::new();
    for candidate in &candidates {
        if !rates.contains(&candidate.probe.spec.learning_rate) {
            rates.push(candidate.probe.spec.learning_rate);
        }
    }
    let mean = |rate: f64| {
        let of_rate = candidates.iter().filter(|candidate| candidate.probe.spec.learning_rate == rate);
        let scores: Vec<f64> = of_rate.map(score).collect();
        scores.iter().sum::<f64>() / scores.len() as f64
    };
    let mut best: Option<(f64, f64)> = None;
    for &rate in &rates {
        let score = mean(rate);
        if best.is_none_or(|(_, most)| score > most) {
            best = Some((rate, score));
        }
    }
    let Some((kept, _)) = best else { return Vec::new() };
    let scores: Vec<(u64, LogEntry)> = candidates
        .iter()
        .map(|candidate| {
            let spec = &candidate.probe.spec;
            let score = if candidate.probe.status == Status::Diverged { f64::NAN } else { candidate.score };
            (
                spec.seed,
                LogEntry::new(candidate.probe.kept_epoch, "validation", by.candidate(), score, spec.learning_rate),
            )
        })
        .collect();
    let chosen =
        candidates.into_iter().map(|candidate| candidate.probe).filter(|probe| probe.spec.learning_rate == kept);
    chosen
        .map(|mut probe| {
            if rates.len() > 1 {
                let own = scores.iter().filter(|(seed, _)| *seed == probe.spec.seed);
                probe.log.extend(own.map(|(_, entry)| entry.clone()));
            }
            probe
        })
        .collect()
}

fn score(candidate: &Candidate) -> f64 {
    match candidate.probe.status {
        Status::Trained => candidate.score,
        Status::Diverged => f64::NEG_INFINITY,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Loss;
    use crate::spec::{Head, ProbeSpec};
    use crate::weights::Weights;

    fn candidates(list: &[(f64, u64, Option<f64>)]) -> Vec<Candidate> {
        let one = |&(learning_rate, seed, accuracy): &(f64, u64, Option<f64>)| Candidate {
            probe: Trained {
                spec: ProbeSpec { learning_rate, seed, ..ProbeSpec::plain(Head::Linear, Loss::Ce) },
                weights: Weights::default(),
                status: if accuracy.is_some() { Status::Trained } else { Status::Diverged },
                train_loss: 0.0,
                gradient_norm: 0.0,
                kept_epoch: 1,
                log: Vec::new(),
            },
            score: accuracy.unwrap_or(0.99),
        };
        list.iter().map(one).collect()
    }

    #[test]
    fn the_mean_over_seeds_decides_and_all_scores_are_kept() {
        let kept = select(
            candidates(&[
                (1.0, 0, Some(0.7)),
                (1.0, 1, Some(0.6)),
                (3.0, 0, Some(0.6)),
                (3.0, 1, Some(0.8)),
                (9.0, 0, Some(0.9)),
                (9.0, 1, None),
            ]),
            Score::MeanAveragePrecision,
        );
        let found: Vec<(f64, u64)> = kept.iter().map(|probe| (probe.spec.learning_rate, probe.spec.seed)).collect();
        assert_eq!(found, [(3.0, 0), (3.0, 1)]);
        let scores: Vec<(f64, f64)> = kept[0].log.iter().map(|entry| (entry.learning_rate, entry.value)).collect();
        assert_eq!(scores, [(1.0, 0.7), (3.0, 0.6), (9.0, 0.9)]);
        assert!(kept[0].log.iter().all(|entry| entry.metric == "candidate_mean_average_precision"));
        assert!(kept[1].log[2].value.is_nan());
    }

    #[test]
    fn the_first_of_equals_wins_and_a_single_one_leaves_no_trace() {
        let kept = select(candidates(&[(2.0, 0, Some(0.5)), (1.0, 0, Some(0.5))]), Score::Accuracy);
        assert_eq!(kept[0].spec.learning_rate, 2.0);
        assert!(select(candidates(&[(2.0, 0, Some(0.5))]), Score::Accuracy)[0].log.is_empty());
        let kept = select(candidates(&[(2.0, 0, None), (1.0, 0, None)]), Score::Accuracy);
        assert_eq!((kept.len(), kept[0].status), (1, Status::Diverged));
    }
}
