//! Plain tables for terminals: columns aligned, the head bold, nothing else.

/// Lays out `rows` under `head`. Columns listed in `right` are aligned to the right (numbers).
/// Empty rows give the empty string.
#[must_use]
pub fn table<const N: usize>(head: [&str; N], rows: &[[String; N]], right: &[usize]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let mut width = head.map(|cell| cell.chars().count());
    for row in rows {
        for (width, cell) in width.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let bold = anstyle::Style::new().bold();
    let head = line(&head.map(str::to_owned), &width, right);
    let mut text = format!("{bold}{head}{bold:#}\n");
    for row in rows {
        text.push_str(&line(row, &width, right));
        text.push('\n');
    }
    text
}

fn line(cells: &[String], width: &[usize], right: &[usize]) -> String {
    let mut text = String::new();
    for (column, (cell, width)) in cells.iter().zip(width).enumerate() {
        if column > 0 {
            text.push_str("  ");
        }
        if right.contains(&column) {
            text.push_str(&format!("{cell:>width$}"));
        } else {
            text.push_str(&format!("{cell:<width$}"));
        }
    }
    text.truncate(text.trim_end().len());
    text
}

/// Two columns without a head: names and values.
#[must_use]
pub fn pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let pairs: Vec<_> = pairs.into_iter().collect();
    let width = pairs.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let dim = anstyle::Style::new().dimmed();
    pairs
        .into_iter()
        .map(|(name, value)| format!("{dim}{name:<width$}{dim:#}  {value}\n"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    #[test]
    fn columns_are_aligned() {
        let rows = [["a".into(), "1".into()], ["long".into(), "1000".into()]];
        let text = plain(&table(["name", "number"], &rows, &[1]));
        assert_eq!(text, "name  number\na          1\nlong    1000\n");
        assert_eq!(table(["name"], &[], &[]), "");
    }

    #[test]
    fn pairs_are_aligned() {
        let text = plain(&pairs([("neurons", "512".into()), ("tick", "8 ns".into())]));
        assert_eq!(text, "neurons  512\ntick     8 ns\n");
    }
}
