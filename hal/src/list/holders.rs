//! Which processes have a device file open, found in what the kernel publishes of them.

use serde::Serialize;
use std::fs;
use std::path::Path;

/// A process that has a file open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Holder {
    /// Its number.
    pub pid: u32,
    /// Its name.
    pub command: String,
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (process {})", self.command, self.pid)
    }
}

/// Processes that have the file at `path` open, by number. `proc` is where the kernel publishes
/// processes (`/proc`). Those of other users are seen by the superuser only.
#[must_use]
pub fn holders(proc: &Path, path: &Path) -> Vec<Holder> {
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let Ok(processes) = fs::read_dir(proc) else { return Vec::new() };
    let mut holders: Vec<Holder> = processes
        .flatten()
        .filter_map(|process| {
            let pid = process.file_name().to_str()?.parse().ok()?;
            let files = fs::read_dir(process.path().join("fd")).ok()?;
            let open = |file: fs::DirEntry| fs::read_link(file.path()).is_ok_and(|to| to == path);
            if !files.flatten().any(open) {
                return None;
            }
            let command = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            Some(Holder { pid, command: command.trim().to_owned() })
        })
        .collect();
    holders.sort_by_key(|holder| holder.pid);
    holders
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn who_has_a_file_open_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let proc = folder.path().join("proc");
        let port = folder.path().join("ttyUSB0");
        fs::write(&port, "").unwrap();
        let port = fs::canonicalize(port).unwrap();
        for (pid, file) in [("31", &port), ("7", &port), ("8", &proc)] {
            fs::create_dir_all(proc.join(pid).join("fd")).unwrap();
            symlink(file, proc.join(pid).join("fd/5")).unwrap();
            fs::write(proc.join(pid).join("comm"), "minicom\n").unwrap();
        }
        fs::create_dir_all(proc.join("sys")).unwrap();
        let found = holders(&proc, &port);
        assert_eq!(found.iter().map(|holder| holder.pid).collect::<Vec<_>>(), [7, 31]);
        assert_eq!(found[0].to_string(), "minicom (process 7)");
        // A name of the port that a rule made.
        let alias = folder.path().join("board");
        symlink(&port, &alias).unwrap();
        assert_eq!(holders(&proc, &alias).len(), 2);
        assert!(holders(&folder.path().join("none"), &port).is_empty());
    }
}
