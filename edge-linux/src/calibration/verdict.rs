//! How a compiled network did beside the float one, and when that is worth a warning.

use serde::Serialize;
use tinception_models::compare::{LayerComparison, ScoresComparison};

/// A layer below this many dB is as good as lost.
const LOST: f64 = 10.0;
/// Where fewer pictures than this share have the float network's best class, something is lost.
const AGREEMENT: f64 = 0.95;

/// How int8 did beside float.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Verdict {
    /// How many pictures were compared.
    images: usize,
    /// Whether they had no part in the ranges that they judge.
    held_out: bool,
    /// Share of the pictures with the same best class, 0 to 1.
    agreement: f64,
    /// Signal to quantisation noise ratio of what ranks the classes; null where both are exactly equal.
    sqnr_db: Option<f64>,
}

impl Verdict {
    pub(crate) fn new(scores: &ScoresComparison, held_out: bool) -> Self {
        let sqnr_db = scores.sqnr_db.is_finite().then_some(scores.sqnr_db);
        Self { images: scores.pictures, held_out, agreement: scores.agreement(), sqnr_db }
    }

    /// One line of a set of `pictures`.
    pub(crate) fn line(&self, pictures: usize) -> String {
        let Self { images, held_out, agreement, sqnr_db } = self;
        let scores = sqnr_db.map_or_else(|| "exactly equal scores".into(), |db| format!("scores at {db:.1} dB"));
        let on = match held_out {
            true => format!("{images} of the pictures, after a calibration on the other {}", pictures - images),
            false => format!("{images} of the pictures that chose the ranges: none could be held out"),
        };
        format!("{:.1} % same best class as in float, {scores}, on {on}", agreement * 100.0)
    }

    /// A warning where too few pictures have the float network's best class.
    pub(crate) fn warning(&self) -> Option<String> {
        let Self { images, agreement, .. } = self;
        (*agreement < AGREEMENT).then(|| {
            let differing = images - (agreement * *images as f64).round() as usize;
            format!(
                "int8 and float differ in the best class on {differing} of {images} pictures: calibrate on more pictures, \
                 look for the layer at fault with `tinception compare`, or try another --method"
            )
        })
    }
}

/// A warning where int8 has as good as lost a layer, whose name is given as `name` makes it of the whole one.
pub(crate) fn lost_layer(compared: &[LayerComparison], name: impl Fn(&str) -> String) -> Option<String> {
    let measured = compared.iter().filter(|layer| layer.sqnr_db.is_finite());
    let worst = measured.min_by(|a, b| a.sqnr_db.total_cmp(&b.sqnr_db))?;
    (worst.sqnr_db < LOST).then(|| {
        format!(
            "layer '{}' has {:.1} dB and is as good as lost in int8: some of its channels have much larger values than the others, or \
             the pictures do not show its range; calibrate on more pictures, try another --method, or train it so that \
             such channels stay small (weight decay, batch normalisation)",
            name(&worst.name),
            worst.sqnr_db
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(agreeing: usize, pictures: usize) -> Verdict {
        Verdict::new(&ScoresComparison { pictures, agreeing, sqnr_db: 27.25 }, true)
    }

    #[test]
    fn a_line_says_what_was_judged() {
        let line = "95.0 % same best class as in float, scores at 27.2 dB, on 20 of the pictures, after a calibration on the \
                    other 80";
        assert_eq!(verdict(19, 20).line(100), line);
        let same = ScoresComparison { pictures: 3, agreeing: 3, sqnr_db: f64::INFINITY };
        let line = Verdict::new(&same, false).line(3);
        assert!(line.contains("exactly equal scores") && line.contains("chose the ranges"), "{line}");
    }

    #[test]
    fn what_is_lost_is_said() {
        assert!(verdict(19, 20).warning().is_none());
        assert!(verdict(18, 20).warning().is_some_and(|warning| warning.contains("on 2 of 20 pictures")));
        let layer = |name: &str, sqnr_db| LayerComparison {
            step: 0,
            name: name.into(),
            operator: "conv",
            sqnr_db,
            saturated: 0.0,
        };
        assert_eq!(lost_layer(&[layer("a", 10.0), layer("b", f64::INFINITY)], str::to_owned), None);
        let warning = lost_layer(&[layer("a", 9.9), layer("b", -3.0), layer("c", 20.0)], str::to_uppercase).unwrap();
        assert!(warning.contains("'B' has -3.0 dB"), "{warning}");
    }
}
