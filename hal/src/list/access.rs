//! Whether a device file can be opened, without opening it.

use serde::Serialize;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Whether a device can be opened now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "state")]
#[non_exhaustive]
pub enum Access {
    /// Nobody uses it and this user may.
    Free,
    /// Somebody holds its lock.
    Busy {
        /// Who, if the kernel says.
        pid: Option<u32>,
    },
    /// This user may not open it.
    Denied,
    /// Not to be found out on this system.
    Unknown,
}

impl Access {
    /// For tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Access::Free => "free",
            Access::Busy { .. } => "busy",
            Access::Denied => "no permission",
            Access::Unknown => "unknown",
        }
    }
}

/// Access to the device file at `path`.
pub(super) fn of(path: &Path) -> Access {
    let Ok(metadata) = fs::metadata(path) else { return Access::Unknown };
    let (Ok(locks), Ok(status)) =
        (fs::read_to_string("/proc/locks"), fs::read_to_string("/proc/self/status"))
    else {
        return Access::Unknown;
    };
    if let Some(pid) = holder(&locks, metadata.dev(), metadata.ino()) {
        return Access::Busy { pid };
    }
    let Some(user) = User::from_status(&status) else { return Access::Unknown };
    if user.may_read_and_write(metadata.mode(), metadata.uid(), metadata.gid()) {
        Access::Free
    } else {
        Access::Denied
    }
}

/// Whether the user of this process may read and write the file at `path`, from its mode bits; `None`
/// if that is not to be found out. `proc` is where the kernel publishes processes (`/proc`).
#[must_use]
pub fn may_open(proc: &Path, path: &Path) -> Option<bool> {
    let metadata = fs::metadata(path).ok()?;
    let user = User::from_status(&fs::read_to_string(proc.join("self/status")).ok()?)?;
    Some(user.may_read_and_write(metadata.mode(), metadata.uid(), metadata.gid()))
}

/// Who holds a lock on the file, in the format of `/proc/locks`:
/// `1: FLOCK  ADVISORY  WRITE 11589 00:1a:3 0 EOF`. `Some(None)` if the holder lives in another
/// process namespace.
fn holder(locks: &str, device: u64, inode: u64) -> Option<Option<u32>> {
    let major = ((device >> 8) & 0xfff) | ((device >> 32) & !0xfff);
    let minor = (device & 0xff) | ((device >> 12) & !0xff);
    let file = format!("{major:02x}:{minor:02x}:{inode}");
    let line = locks.lines().find(|line| {
        // A line with "->" is somebody who waits for the lock.
        !line.contains("->") && line.split_whitespace().any(|word| word == file)
    })?;
    let before = line.split_whitespace().take_while(|word| *word != file).last()?;
    Some(before.parse().ok().filter(|pid| *pid > 0))
}

/// User and groups of this process.
#[derive(Debug, PartialEq, Eq)]
struct User {
    id: u32,
    groups: Vec<u32>,
}

impl User {
    /// From `/proc/self/status`: the effective ones decide.
    fn from_status(status: &str) -> Option<Self> {
        let numbers = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key))?;
            Some(line.split_whitespace().filter_map(|n| n.parse().ok()).collect::<Vec<u32>>())
        };
        let id = *numbers("Uid:")?.get(1)?;
        let mut groups = numbers("Groups:").unwrap_or_default();
        groups.push(*numbers("Gid:")?.get(1)?);
        Some(Self { id, groups })
    }

    fn may_read_and_write(&self, mode: u32, owner: u32, group: u32) -> bool {
        let shift = match () {
            () if self.id == 0 => return true,
            () if self.id == owner => 6,
            () if self.groups.contains(&group) => 3,
            () => 0,
        };
        (mode >> shift) & 0o6 == 0o6
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_locks_is_read() {
        let locks = "1: FLOCK  ADVISORY  WRITE 11589 00:1a:3 0 EOF\n\
                     2: -> FLOCK  ADVISORY  WRITE 9 00:1a:4 0 EOF\n\
                     3: POSIX  ADVISORY  READ 0 103:02:3 0 EOF\n";
        assert_eq!(holder(locks, 0x1a, 3), Some(Some(11589)));
        assert_eq!(holder(locks, 0x1a, 4), None);
        assert_eq!(holder(locks, 0x1b, 3), None);
        assert_eq!(holder(locks, 0x10302, 3), Some(None));
    }

    #[test]
    fn mode_bits_decide() {
        let status = "Name:\tx\nUid:\t5\t1000\t5\t5\nGid:\t7\t7\t7\t7\nGroups:\t20 24 \n";
        let user = User::from_status(status).unwrap();
        assert_eq!(user, User { id: 1000, groups: vec![20, 24, 7] });
        // crw-rw---- root:dialout, for a member of group 20 and for somebody who is not.
        assert!(user.may_read_and_write(0o20660, 0, 20));
        assert!(!user.may_read_and_write(0o20660, 0, 21));
        // The owner's bits decide even if the group's would allow.
        assert!(!user.may_read_and_write(0o20060, 1000, 20));
        assert!(User { id: 0, groups: vec![] }.may_read_and_write(0o20600, 1, 1));
        assert_eq!(User::from_status("Name:\tx\n"), None);
    }

    #[test]
    fn a_lock_shows_and_goes() {
        let file = tempfile::NamedTempFile::new().unwrap();
        if !Path::new("/proc/locks").exists() {
            return;
        }
        assert_eq!(of(file.path()), Access::Free);
        file.as_file().lock().unwrap();
        assert_eq!(of(file.path()), Access::Busy { pid: Some(std::process::id()) });
        file.as_file().unlock().unwrap();
        assert_eq!(of(file.path()), Access::Free);
        assert_eq!(of(Path::new("/dev/does-not-exist")), Access::Unknown);
    }
}
