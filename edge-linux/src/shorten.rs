//! Names of steps as tables have them.
//!
//! Exporters name a step by all the scopes it is in, for TensorFlow up to 250 characters. In a table such a name makes
//! every line wrap, so its middle gives way to three dots; JSON has it whole.

use std::collections::{HashMap, HashSet};

use crate::terminal::plain;

/// Longest name that stays as it is, in characters.
const LONGEST: usize = 40;
/// What stands for the middle of a name.
const ELLIPSIS: &str = "...";
/// Characters of its start that are kept: the end says more.
const START: usize = 10;

/// The names as one table shows them: what differs in full differs there, too.
pub(crate) fn names<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let names: Vec<&str> = names.into_iter().collect();
    let mut taken: HashSet<String> =
        names.iter().filter(|name| !is_long(name)).map(|name| plain(name).into()).collect();
    let mut known: HashMap<&str, String> = HashMap::new();
    let mut short = |full| -> String {
        let unique = known.entry(full).or_insert_with(|| {
            let short = name(full);
            if !is_long(full) || taken.insert(short.clone()) {
                return short;
            }
            let mut numbered = (2..).map(|number: usize| format!("{short} ({number})"));
            numbered.find(|numbered| taken.insert(numbered.clone())).unwrap_or(short)
        });
        unique.clone()
    };
    names.into_iter().map(&mut short).collect()
}

/// One name, as a sentence has it.
pub(crate) fn name(name: &str) -> String {
    let name = plain(name);
    let length = name.chars().count();
    if length <= LONGEST {
        return name.into_owned();
    }
    let end = length - (LONGEST - START - ELLIPSIS.len());
    let (start, end): (String, String) = (name.chars().take(START).collect(), name.chars().skip(end).collect());
    format!("{start}{ELLIPSIS}{end}")
}

fn is_long(name: &str) -> bool {
    plain(name).chars().count() > LONGEST
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_stay_and_long_ones_keep_their_ends() {
        let longest = "n".repeat(40);
        for stays in ["conv1/7x7_s2", "", longest.as_str()] {
            assert_eq!(name(stays), stays);
        }
        let scope = format!("StatefulPartitionedCall/{}/Relu6", "mixed_10/branch3x3dbl/".repeat(10));
        assert_eq!(name(&scope), "StatefulPa...ixed_10/branch3x3dbl//Relu6");
        assert_eq!(name(&"\u{e9}".repeat(41)).chars().count(), 40);
        assert_eq!(name("a\u{1b}b"), "a\\u{1b}b");
    }

    #[test]
    fn names_of_a_table_are_unique() {
        let scope = |middle: &str| format!("model/{}{middle}{}/Relu6", "x/".repeat(20), "y/".repeat(20));
        let (a, b, c) = (scope("a"), scope("b"), scope("c"));
        let shown = names([a.as_str(), "conv", &b, &a, &c]);
        let short = name(&a);
        assert_eq!(
            shown,
            [short.clone(), "conv".into(), format!("{short} (2)"), short.clone(), format!("{short} (3)")]
        );
        // A name that already looks like a shortened one.
        assert_eq!(names([a.as_str(), &short]), [format!("{short} (2)"), short.clone()]);
    }
}
