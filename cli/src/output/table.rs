//! Prints rows of text in columns, each as wide as its widest cell.

use unicode_width::UnicodeWidthStr;

/// Returns rows as lines: the first column is aligned left, all others right, with two spaces
/// between them.
pub(crate) fn columns(rows: &[Vec<String>]) -> String {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.width()).max();
    let widths: Vec<usize> = (0..count).map(|column| width(column).unwrap_or(0)).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| match column {
            0 => format!("{cell}{}", " ".repeat(width - cell.width())),
            _ => format!("{}{cell}", " ".repeat(width - cell.width())),
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::columns;

    #[test]
    fn numbers_end_below_each_other() {
        let rows = [["what", "us"], ["first", "1.5"], ["x", "12.25"]].map(|row| row.map(String::from).to_vec());
        assert_eq!(columns(&rows), "what      us\nfirst    1.5\nx      12.25\n");
    }

    #[test]
    fn letters_can_be_two_columns_wide() {
        let rows = [["猫", "1"], ["cats", "12"]].map(|row| row.map(String::from).to_vec());
        assert_eq!(columns(&rows), "猫     1\ncats  12\n");
    }
}
