//! What the tests of all lessons need.

use super::{Lesson, LessonError, Surroundings, Watch, method_of};
use crate::config;

/// Always goes on.
pub(super) struct Always;

impl Watch for Always {
    fn part(&self, _done: usize, _of: usize) -> bool {
        true
    }
}

/// Opens a shipped experiment with overrides, as the command line does, without data and chip.
pub(super) fn open_shipped(name: &str, overrides: &[&str]) -> Result<Box<dyn Lesson>, LessonError> {
    let overrides: Vec<String> = overrides.iter().map(|set| (*set).to_owned()).collect();
    let mut sections = config::table(name, &overrides)?;
    let method = method_of(&sections).unwrap();
    sections.remove("name");
    sections.remove("seed");
    let learning = sections.get_mut("learning").and_then(toml::Value::as_table_mut);
    learning.unwrap().remove("method");
    (method.open)(sections, Surroundings { seed: 1, data: None, chip: None })
}
