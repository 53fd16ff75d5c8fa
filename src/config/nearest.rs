//! Which known name somebody meant.

use std::collections::HashMap;

/// Characters of a name that are looked at: as many as a machine word has bits.
const MOST: usize = 64;

/// The candidate nearest to `name`, when it is near enough that a slip of the finger explains it.
pub(crate) fn find<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    Candidates::new(candidates).find(name)
}

/// Known names, made ready for many questions: thousands may be asked about thousands.
#[derive(Debug)]
pub(crate) struct Candidates<'a>(Vec<Candidate<'a>>);

#[derive(Debug)]
struct Candidate<'a> {
    text: &'a str,
    characters: usize,
    letters: u64,
}

impl<'a> Candidates<'a> {
    pub(crate) fn new(names: impl Iterator<Item = &'a str>) -> Self {
        let ready = names.map(|text| Candidate {
            text,
            characters: text.chars().count(),
            letters: letters(text.chars()),
        });
        Self(ready.collect())
    }

    /// The candidate nearest to `name`, when it is near enough that a slip of the finger explains it.
    pub(crate) fn find(&self, name: &str) -> Option<&'a str> {
        let name = name.get(..name.floor_char_boundary(MOST)).unwrap_or(name);
        let bound = match name.chars().count() {
            0..=2 => return None,
            3..=5 => 1,
            6..=9 => 2,
            _ => 3,
        };
        let wanted = Wanted::new(name);
        self.0
            .iter()
            .filter(|candidate| wanted.may_be_near(candidate, bound))
            .filter_map(|candidate| {
                let distance = wanted.distance(candidate.text);
                (distance <= bound).then_some((distance, candidate.text))
            })
            .min()
            .map(|(_, candidate)| candidate)
    }
}

/// One bit per letter; different letters may share one.
fn letters(text: impl Iterator<Item = char>) -> u64 {
    text.fold(0, |set, letter| set | 1 << (u32::from(letter) % 64))
}

/// The name that was written, as bits.
struct Wanted {
    characters: usize,
    letters: u64,
    /// For every ASCII letter the places where it stands.
    ascii: [u64; 128],
    others: HashMap<char, u64>,
}

impl Wanted {
    fn new(name: &str) -> Self {
        let lower: Vec<char> = name.to_lowercase().chars().take(MOST).collect();
        let mut ascii = [0; 128];
        let mut others: HashMap<char, u64> = HashMap::new();
        for (place, letter) in lower.iter().enumerate() {
            match ascii.get_mut(*letter as usize) {
                Some(places) => *places |= 1 << place,
                None => *others.entry(*letter).or_default() |= 1 << place,
            }
        }
        Self {
            characters: lower.len(),
            letters: letters(lower.into_iter()),
            ascii,
            others,
        }
    }

    /// The places where `letter` stands in the name, as bits.
    fn places(&self, letter: char) -> u64 {
        let ascii = self.ascii.get(letter as usize);
        ascii
            .or_else(|| self.others.get(&letter))
            .copied()
            .unwrap_or_default()
    }

    /// `false` when `distance` is surely above `bound`: an edit changes the length by one at most, and takes away and
    /// brings in one letter at most.
    fn may_be_near(&self, candidate: &Candidate<'_>, bound: usize) -> bool {
        let most = u32::try_from(bound).unwrap_or(u32::MAX);
        self.characters.abs_diff(candidate.characters) <= bound
            && (self.letters & !candidate.letters).count_ones() <= most
            && (candidate.letters & !self.letters).count_ones() <= most
    }

    /// Insertions, deletions, replacements and swaps of neighbours that turn the name into `other` (optimal string
    /// alignment). One column of the table at a time, its differences as bits (Hyyro, 2003).
    fn distance(&self, other: &str) -> usize {
        let last = 1_u64 << self.characters.saturating_sub(1);
        let mut distance = self.characters;
        let (mut rises, mut falls, mut diagonal, mut before) = (u64::MAX, 0, 0_u64, 0);
        for letter in other.chars() {
            let here = self.places(letter);
            let swapped = ((!diagonal & here) << 1) & before;
            diagonal = (((here & rises).wrapping_add(rises)) ^ rises) | here | falls | swapped;
            let across_rises = falls | !(diagonal | rises);
            let across_falls = diagonal & rises;
            distance += usize::from(across_rises & last != 0);
            distance -= usize::from(across_falls & last != 0);
            let shifted = across_rises << 1 | 1;
            rises = (across_falls << 1) | !(diagonal | shifted);
            falls = shifted & diagonal;
            before = here;
        }
        distance
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Wanted, find};

    /// The same distance by the table as it is defined.
    fn by_table(a: &str, b: &str) -> usize {
        let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
        let mut table = vec![vec![0; b.len() + 1]; a.len() + 1];
        for i in 0..=a.len() {
            for j in 0..=b.len() {
                table[i][j] = if i == 0 || j == 0 {
                    i + j
                } else {
                    let replaced = table[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                    let best = replaced.min(table[i - 1][j] + 1).min(table[i][j - 1] + 1);
                    let swap = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
                    if swap {
                        best.min(table[i - 2][j - 2] + 1)
                    } else {
                        best
                    }
                };
            }
        }
        table[a.len()][b.len()]
    }

    proptest! {
        #[test]
        fn the_distance_is_that_of_the_table(a in "[abc\u{e9}]{1,12}", b in "[abc\u{e9}]{0,12}") {
            prop_assert_eq!(Wanted::new(&a).distance(&b), by_table(&a, &b));
        }

        #[test]
        fn no_near_name_is_passed_over(a in "[a-f]{3,12}", b in "[a-f]{0,12}") {
            let bound = match a.len() { 3..=5 => 1, 6..=9 => 2, _ => 3 };
            prop_assert_eq!(find(&a, [b.as_str()].into_iter()).is_some(), by_table(&a, &b) <= bound);
        }
    }

    #[test]
    fn a_name_of_64_characters_and_more_is_compared_as_well() {
        let known = "x".repeat(64);
        let written = format!("{}y", "x".repeat(63));
        assert_eq!(
            find(&written, [known.as_str()].into_iter()),
            Some(known.as_str())
        );
        assert_eq!(
            find(&"x".repeat(90), [known.as_str()].into_iter()),
            Some(known.as_str())
        );
    }

    #[test]
    fn a_slip_of_the_finger_finds_its_name() {
        let names = ["allow", "host", "header_timeout"];
        assert_eq!(find("alow", names.into_iter()), Some("allow"));
        assert_eq!(find("hsot", names.into_iter()), Some("host"));
        assert_eq!(
            find("Header_timout", names.into_iter()),
            Some("header_timeout")
        );
    }

    #[test]
    fn the_nearest_of_several_near_ones_is_taken() {
        let names = ["grafana-old", "grafana", "grafanas"];
        assert_eq!(find("grafnaa", names.into_iter()), Some("grafana"));
        assert_eq!(find("grafana-odl", names.into_iter()), Some("grafana-old"));
    }

    #[test]
    fn a_different_word_finds_nothing() {
        assert_eq!(find("upstream", ["allow", "host"].into_iter()), None);
        assert_eq!(find("to", ["tls"].into_iter()), None);
    }
}
