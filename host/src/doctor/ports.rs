//! Serial ports, as far as they can be judged without opening them.

use super::{Finding, Places, State};
use spikeloop_hal::list;
use std::fs;
use std::path::{Path, PathBuf};

/// Longest time that an adapter may keep received bytes back, in milliseconds. Adapters of FTDI wait 16
/// from the factory (published), and every answer of a board waits with them; 1 is the least.
const LATENCY_MS: u32 = 1;

/// What to do when the operating system refuses access to a port.
const PERMISSION_REMEDY: &str = "add yourself to the group that owns it (usually `sudo usermod -aG dialout $USER`, then log in again), or install a udev rule for the board";

/// Names of ports on USB begin so: adapters, and boards that are a modem to the system.
const USB_NAMES: [&str; 2] = ["ttyUSB", "ttyACM"];

/// Looks at all ports on USB and at the one at `named`, if there is one.
#[must_use]
pub fn examine(places: &Places, named: Option<&Path>) -> Vec<Finding> {
    let mut ports = usb_ports(places);
    let named = named.map(|path| fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()));
    if let Some(named) = named
        && named.exists()
        && !ports.contains(&named)
    {
        ports.push(named);
    }
    if ports.is_empty() {
        let text = "none connected";
        return vec![Finding::good("serial ports", places.dev.display().to_string(), text)];
    }
    let look = |port: &PathBuf| {
        let mut findings = vec![permission(places, port)];
        findings.extend(holder(places, port));
        findings.extend(latency(places, port));
        findings.extend(autosuspend(places, port));
        findings
    };
    ports.iter().flat_map(look).collect()
}

fn usb_ports(places: &Places) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(places.sys.join("class/tty")) else { return Vec::new() };
    let mut ports: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.file_name())
        .filter(|name| USB_NAMES.iter().any(|usb| name.to_string_lossy().starts_with(usb)))
        .map(|name| places.dev.join(name))
        .collect();
    ports.sort();
    ports
}

fn permission(places: &Places, port: &Path) -> Finding {
    let subject = port.display().to_string();
    match list::may_open(&places.proc, port) {
        Some(true) => Finding::good("permission", subject, "may be opened"),
        Some(false) => Finding::bad(
            State::Problem,
            "permission",
            subject,
            "you may not open it",
            PERMISSION_REMEDY,
        ),
        None => Finding::bad(
            State::Warning,
            "permission",
            subject,
            "it is listed, but has no device file",
            "unplug the board and plug it in again; in a container, pass the device file on to it",
        ),
    }
}

/// Who has the port open. This process is not counted: it may look at itself.
pub(super) fn holder(places: &Places, port: &Path) -> Option<Finding> {
    let me = std::process::id();
    let mut holders = list::holders(&places.proc, port);
    holders.retain(|holder| holder.pid != me);
    if holders.is_empty() {
        return None;
    }
    let names: Vec<_> = holders.iter().map(ToString::to_string).collect();
    let pids: Vec<_> = holders.iter().map(|holder| holder.pid.to_string()).collect();
    let remedy = format!("close that program, or end it with `kill {}`", pids.join(" "));
    let found = format!("held by {}", names.join(", "));
    Some(Finding::bad(State::Problem, "in use", port.display().to_string(), found, remedy))
}

fn latency(places: &Places, port: &Path) -> Option<Finding> {
    let name = port.file_name()?;
    let file = places.sys.join("bus/usb-serial/devices").join(name).join("latency_timer");
    let ms: u32 = fs::read_to_string(&file).ok()?.trim().parse().ok()?;
    let subject = port.display().to_string();
    let found = format!("the adapter keeps bytes back for up to {ms} ms");
    if ms <= LATENCY_MS {
        return Some(Finding::good("latency timer", subject, found));
    }
    let remedy = format!(
        "echo {LATENCY_MS} | sudo tee {}  (for good: a udev rule with ATTR{{latency_timer}}=\"{LATENCY_MS}\")",
        file.display()
    );
    Some(Finding::bad(State::Warning, "latency timer", subject, found, remedy))
}

fn autosuspend(places: &Places, port: &Path) -> Option<Finding> {
    let device =
        fs::canonicalize(places.sys.join("class/tty").join(port.file_name()?).join("device"));
    // From the interface up to the device itself, which has a number of its maker.
    let device = device.ok()?;
    let device = device.ancestors().find(|folder| folder.join("idVendor").exists())?;
    let file = device.join("power/control");
    let control = fs::read_to_string(&file).ok()?;
    let subject = port.display().to_string();
    if control.trim() != "auto" {
        return Some(Finding::good("autosuspend", subject, "off"));
    }
    let remedy = format!(
        "echo on | sudo tee {}  (for good: a udev rule with ATTR{{power/control}}=\"on\")",
        file.display()
    );
    let found = "the system may put the device to sleep when it is idle";
    Some(Finding::bad(State::Warning, "autosuspend", subject, found, remedy))
}
