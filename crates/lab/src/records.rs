//! What weir wrote.

use std::collections::BTreeMap;
use std::path::Path;

/// Columns that differ where two sockets took the time of each packet, and the identifiers that come from it.
pub const OF_TIME: &[&str] = &[
    "ts",
    "uid",
    "fuid",
    "id",
    "duration",
    "rtt",
    "tunnel_parents",
    "cert_chain_fuids",
    "resp_fuids",
    "orig_fuids",
    "conn_uids",
];

/// The records of each TSV log in a directory, by the name of its file, sorted, without the columns named.
pub fn logs(directory: &Path, without: &[&str]) -> BTreeMap<String, Vec<String>> {
    let mut logs = BTreeMap::new();
    for entry in std::fs::read_dir(directory).unwrap_or_else(|e| panic!("{}: {e}", directory.display())) {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.extension().is_some_and(|extension| extension == "log") {
            logs.insert(name, rows(&std::fs::read_to_string(&path).unwrap(), without));
        }
    }
    logs
}

fn rows(text: &str, without: &[&str]) -> Vec<String> {
    let fields = text.lines().find_map(|line| line.strip_prefix("#fields\t")).unwrap_or_default();
    let kept: Vec<bool> = fields.split('\t').map(|field| !without.contains(&field)).collect();
    let cut = |row: &str| {
        let cells = row.split('\t').zip(&kept).filter(|(_, kept)| **kept).map(|(cell, _)| cell);
        cells.collect::<Vec<_>>().join("\t")
    };
    let mut rows: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).map(cut).collect();
    rows.sort();
    rows
}

/// The ledger that `--ledger FILE` wrote.
pub fn ledger(path: &Path) -> serde_json::Value {
    let text = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_slice(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_sorted_and_without_the_columns_that_may_differ() {
        let text = "#fields\tts\tid.orig_h\tn\n2\tb\t1\n1\ta\t2\n#close\tnow\n";
        assert_eq!(rows(text, OF_TIME), ["a\t2", "b\t1"]);
    }
}
