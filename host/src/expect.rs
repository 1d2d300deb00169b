//! `--expect 'test_accuracy>=0.97'`: a condition on the summary, for continuous integration.

use std::str::FromStr;

/// A condition that can be asked of a summary.
#[derive(Clone, Debug, PartialEq)]
pub struct Expectation {
    key: String,
    comparison: Comparison,
    bound: f64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Comparison {
    AtLeast,
    AtMost,
    Above,
    Below,
    Equal,
}

const SIGNS: [(&str, Comparison); 5] = [
    (">=", Comparison::AtLeast),
    ("<=", Comparison::AtMost),
    ("==", Comparison::Equal),
    (">", Comparison::Above),
    ("<", Comparison::Below),
];

/// A condition that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "cannot read the expectation {given:?}: write e.g. test_accuracy>=0.97 (signs: >= <= > < ==)"
)]
pub struct ExpectationError {
    given: String,
}

impl FromStr for Expectation {
    type Err = ExpectationError;

    fn from_str(given: &str) -> Result<Self, Self::Err> {
        let error = || ExpectationError { given: given.to_owned() };
        let (sign, comparison) = SIGNS
            .iter()
            .filter_map(|(sign, c)| given.find(sign).map(|at| (at, *sign, *c)))
            .min_by_key(|(at, sign, _)| (*at, std::cmp::Reverse(sign.len())))
            .map(|(_, sign, c)| (sign, c))
            .ok_or_else(error)?;
        let (key, bound) = given.split_once(sign).ok_or_else(error)?;
        let bound: f64 = bound.trim().parse().map_err(|_| error())?;
        let key = key.trim().to_owned();
        if key.is_empty() || bound.is_nan() {
            return Err(error());
        }
        Ok(Self { key, comparison, bound })
    }
}

/// What came of a condition.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// It holds.
    Met,
    /// It does not hold; the value found.
    Missed(f64),
    /// The summary has no such number; the numbers it has.
    Unknown(Vec<String>),
}

impl Expectation {
    /// Holds the condition against a summary.
    #[must_use]
    pub fn judge(&self, summary: &serde_json::Value) -> Verdict {
        let Some(value) = summary.get(&self.key).and_then(serde_json::Value::as_f64) else {
            let numbers = summary.as_object().into_iter().flatten();
            let numbers = numbers.filter(|(_, v)| v.is_number()).map(|(k, _)| k.clone());
            return Verdict::Unknown(numbers.collect());
        };
        let holds = match self.comparison {
            Comparison::AtLeast => value >= self.bound,
            Comparison::AtMost => value <= self.bound,
            Comparison::Above => value > self.bound,
            Comparison::Below => value < self.bound,
            Comparison::Equal => value == self.bound,
        };
        if holds { Verdict::Met } else { Verdict::Missed(value) }
    }
}

impl std::fmt::Display for Expectation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sign = SIGNS.iter().find(|(_, c)| *c == self.comparison).map_or("", |(s, _)| s);
        write!(f, "{}{sign}{}", self.key, self.bound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn conditions_are_read_and_judged() {
        let summary = json!({"test_accuracy": 0.97, "epochs": 5, "task": "digits"});
        let judge = |text: &str| text.parse::<Expectation>().unwrap().judge(&summary);
        assert_eq!(judge("test_accuracy>=0.97"), Verdict::Met);
        assert_eq!(judge("test_accuracy > 0.97"), Verdict::Missed(0.97));
        assert_eq!(judge("test_accuracy<=1"), Verdict::Met);
        assert_eq!(judge("epochs==5"), Verdict::Met);
        assert_eq!(judge("epochs<5"), Verdict::Missed(5.0));
        let unknown = Verdict::Unknown(vec!["epochs".into(), "test_accuracy".into()]);
        assert_eq!(judge("accuracy>=0.9"), unknown);
        assert_eq!(judge("task>=0.9"), unknown);
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "x", ">=1", "x>=", "x>=y", "x=1", "x>=nan"] {
            assert!(text.parse::<Expectation>().is_err(), "{text}");
        }
        assert_eq!("a<=2".parse::<Expectation>().unwrap().to_string(), "a<=2");
    }
}
