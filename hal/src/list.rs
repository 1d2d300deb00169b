//! What there is: running virtual boards and serial ports, and whether they can be opened.
//!
//! Looking disturbs nothing. Opening a serial port raises its control lines, which resets many
//! boards, so that whether a port is busy or forbidden is read from what the kernel publishes
//! (mode bits, table of locks) instead of being tried.

mod access;
mod holders;

pub use access::{Access, may_open};
pub use holders::{Holder, holders};

use crate::registry::Registry;
#[cfg(feature = "serial")]
use crate::selector::Address;
use crate::selector::Selector;
use serde::Serialize;

/// Something a chip may be behind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Selector that reaches it, to be pasted after `--chip`.
    pub selector: Selector,
    /// What it is.
    pub kind: Kind,
    /// Whether it can be opened now.
    pub access: Access,
    /// One line about it: chip and its options, or manufacturer and product.
    pub description: String,
    /// What to do if it cannot be opened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// What an [`Entry`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Kind {
    /// A virtual board that runs.
    VirtualBoard,
    /// A serial port on USB: probably somebody plugged in a board.
    UsbSerial,
    /// Any other serial port. There are many of them on most machines, with nothing connected.
    Serial,
}

impl Kind {
    /// For tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Kind::VirtualBoard => "virtual board",
            Kind::UsbSerial => "USB serial port",
            Kind::Serial => "serial port",
        }
    }
}

impl Entry {
    /// Whether this is taken when the user names no chip and there is only one: built-in ports
    /// with nothing behind them must not count.
    #[must_use]
    pub fn is_candidate(&self) -> bool {
        !matches!(self.kind, Kind::Serial)
    }
}

/// Everything there is, virtual boards first. Whatever cannot be read is left out, never an error.
#[must_use]
pub fn devices(registry: &Registry) -> Vec<Entry> {
    let mut entries = virtual_boards(registry);
    entries.extend(serial_ports());
    entries
}

/// Running virtual boards, by name.
#[must_use]
pub fn virtual_boards(registry: &Registry) -> Vec<Entry> {
    let describe = |board: crate::registry::Board| {
        let selector: Selector = board.selector.parse().ok()?;
        let access = match (&board.terminal, &board.client) {
            (Some(terminal), _) => access::of(terminal),
            (None, Some(_)) => Access::Busy { pid: None },
            (None, None) => Access::Free,
        };
        Some(Entry {
            selector,
            kind: Kind::VirtualBoard,
            access,
            description: format!("{}, process {}", board.identity, board.pid),
            hint: hint(access),
        })
    };
    registry.boards().into_iter().filter_map(describe).collect()
}

fn hint(access: Access) -> Option<String> {
    match access {
        Access::Free | Access::Unknown => None,
        Access::Busy { pid: Some(pid) } => Some(format!("in use by process {pid}")),
        Access::Busy { pid: None } => Some("in use by another client".into()),
        #[cfg(feature = "serial")]
        Access::Denied => Some(crate::link::serial::PERMISSION_REMEDY.into()),
        #[cfg(not(feature = "serial"))]
        Access::Denied => None,
    }
}

/// Serial ports, by name.
#[cfg(feature = "serial")]
fn serial_ports() -> Vec<Entry> {
    // The library panics where the kernel has no terminals at all.
    if cfg!(target_os = "linux") && !std::path::Path::new("/sys/class/tty").exists() {
        return Vec::new();
    }
    let mut ports = serialport::available_ports().unwrap_or_else(|error| {
        tracing::warn!(%error, "cannot list serial ports");
        Vec::new()
    });
    ports.sort_by(|a, b| a.port_name.cmp(&b.port_name));
    ports.iter().map(serial_entry).collect()
}

#[cfg(not(feature = "serial"))]
fn serial_ports() -> Vec<Entry> {
    Vec::new()
}

#[cfg(feature = "serial")]
fn serial_entry(port: &serialport::SerialPortInfo) -> Entry {
    use serialport::SerialPortType;
    let (kind, description) = match &port.port_type {
        SerialPortType::UsbPort(usb) => (Kind::UsbSerial, usb_description(usb)),
        SerialPortType::PciPort => (Kind::Serial, "PCI".into()),
        SerialPortType::BluetoothPort => (Kind::Serial, "Bluetooth".into()),
        SerialPortType::Unknown => (Kind::Serial, String::new()),
    };
    let access = access::of(std::path::Path::new(&port.port_name));
    let address = Address::Serial {
        path: port.port_name.clone(),
        baud: crate::selector::DEFAULT_BAUD,
        hardware_flow: false,
    };
    Entry { selector: address.into(), kind, access, description, hint: hint(access) }
}

/// `Maker Product, 0403:6014, serial number FT123`.
#[cfg(feature = "serial")]
fn usb_description(usb: &serialport::UsbPortInfo) -> String {
    let names = [usb.manufacturer.as_deref(), usb.product.as_deref()];
    let mut parts = vec![names.into_iter().flatten().collect::<Vec<_>>().join(" ")];
    parts.push(format!("{:04x}:{:04x}", usb.vid, usb.pid));
    parts.extend(usb.serial_number.as_ref().map(|number| format!("serial number {number}")));
    parts.retain(|part| !part.is_empty());
    parts.join(", ")
}

#[cfg(test)]
mod tests;
