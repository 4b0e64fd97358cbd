//! What a network's own output is: its last operator, and whether it is a single score.
//!
//! The passes end every network in probabilities over logits, but two programs that show a network's numbers, one from the
//! float network and one from the file made of it, should show the same ones. So a file remembers in its provenance how its
//! network ended, where that is neither scores nor a softmax of several.

/// What a network's scores have gone through when they come out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ending {
    /// Nothing: they are logits.
    #[default]
    Scores,
    /// A softmax: they are probabilities that sum up to 1.
    Softmax,
    /// The logarithm of a softmax.
    LogSoftmax,
    /// A sigmoid each: they are probabilities independent of each other.
    Sigmoid,
}

/// What a network's own output is, as it came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OwnOutput {
    /// Its last operator.
    pub ending: Ending,
    /// Whether it is a single number, which stands for two classes.
    pub one_score: bool,
}

impl OwnOutput {
    /// The provenance's key.
    pub const KEY: &str = "output";

    /// All that the provenance tells of.
    const TOLD: [(&str, Self); 4] = [
        ("one score", Self { ending: Ending::Scores, one_score: true }),
        ("sigmoid of one score", Self { ending: Ending::Sigmoid, one_score: true }),
        ("sigmoid", Self { ending: Ending::Sigmoid, one_score: false }),
        ("log-softmax", Self { ending: Ending::LogSoftmax, one_score: false }),
    ];

    /// What the provenance says of it; `None` for what goes without saying, several scores or a softmax of them.
    #[must_use]
    pub fn told(self) -> Option<&'static str> {
        Self::TOLD.iter().find(|(_, own)| *own == self).map(|(text, _)| *text)
    }

    /// What a file's provenance says of the network that it was made from.
    #[must_use]
    pub fn of_provenance(provenance: &str) -> Self {
        // The last such line: those in front of it are not the compiler's own.
        let lines = provenance.lines().rev().filter_map(|line| line.split_once(": "));
        let value = lines.filter(|(key, _)| *key == Self::KEY).map(|(_, value)| value).next();
        let told = Self::TOLD.iter().find(|(text, _)| Some(*text) == value);
        told.map_or_else(Self::default, |(_, own)| *own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_understood() {
        for (text, own) in OwnOutput::TOLD {
            assert_eq!(own.told(), Some(text));
            assert_eq!(OwnOutput::of_provenance(&format!("source: a.onnx\noutput: {text}\ntool: t\n")), own);
        }
        assert_eq!(OwnOutput::default().told(), None);
        let softmax = OwnOutput { ending: Ending::Softmax, one_score: false };
        assert_eq!(softmax.told(), None);
        for strange in ["", "output: tanh\n", "outputs: sigmoid\n", "output:sigmoid\n"] {
            assert_eq!(OwnOutput::of_provenance(strange), OwnOutput::default(), "{strange}");
        }
        let twice = "output: log-softmax\noutput: one score\n";
        assert_eq!(OwnOutput::of_provenance(twice).told(), Some("one score"));
    }
}
