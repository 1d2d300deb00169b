//! "Did you mean …?": the nearest valid word to one that is not.

/// The candidate most like `word`, if one is similar enough to be what was meant.
///
/// Similarity is the normalised Damerau–Levenshtein distance; a candidate that `word` is the
/// beginning of always counts. Below a similarity of 0.4 (a guess that works well on option
/// names) nothing is suggested.
#[must_use]
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let mut best: Option<(f64, &'a str)> = None;
    for candidate in candidates {
        let lower = candidate.to_lowercase();
        let prefix = word.len() >= 2 && lower.starts_with(&word);
        let score =
            strsim::normalized_damerau_levenshtein(&word, &lower) + if prefix { 1.0 } else { 0.0 };
        if score >= 0.4 && best.is_none_or(|(top, _)| score > top) {
            best = Some((score, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// `; did you mean X?` or nothing, to be appended to a message.
#[must_use]
pub fn hint(nearest: Option<&str>) -> String {
    nearest.map(|word| format!("; did you mean {word:?}?")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typos_and_beginnings_are_found() {
        let words = ["preset", "seed", "noise_seed", "sigma"];
        assert_eq!(nearest("presset", words), Some("preset"));
        assert_eq!(nearest("sede", words), Some("seed"));
        assert_eq!(nearest("noise", words), Some("noise_seed"));
        assert_eq!(nearest("SIGMA", words), Some("sigma"));
    }

    #[test]
    fn what_resembles_nothing_gets_no_suggestion() {
        assert_eq!(nearest("xyzzy", ["preset", "seed"]), None);
        assert_eq!(hint(None), "");
        assert_eq!(hint(Some("seed")), "; did you mean \"seed\"?");
    }
}
