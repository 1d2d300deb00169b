//! Serial ports, opened exclusively.

use super::BoxLink;
use crate::error::Error;
use serialport::{ClearBuffer, ErrorKind, SerialPort, SerialPortInfo, SerialPortType};
use std::io;
use std::path::Path;
use tokio_serial::SerialStream;

/// What to do when the operating system refuses access to a port.
pub const PERMISSION_REMEDY: &str = "add yourself to the group that owns it (usually `sudo usermod -aG dialout $USER`, \
     then log in again), or install a udev rule for the board";

/// Opens the port at `path` for this process alone and discards whatever a previous talk left in
/// its buffers. Needs a running tokio runtime with input and output enabled.
///
/// # Errors
/// [`Error::NoDevice`] where there is no such port, [`Error::DeviceInUse`], [`Error::Permission`],
/// and [`Error::Open`] for everything else.
pub fn open(path: &str, baud: u32, hardware_flow: bool) -> Result<BoxLink, Error> {
    // A pseudo-terminal is raw already and has no rate; the exclusive mode that a serial port is
    // put into would outlive a killed client there, because the board keeps the terminal open.
    if path.starts_with("/dev/pts/") {
        return super::pty::open_path(Path::new(path));
    }
    let flow = if hardware_flow {
        serialport::FlowControl::Hardware
    } else {
        serialport::FlowControl::None
    };
    let builder = serialport::new(path, baud).exclusive(true).flow_control(flow);
    let port = SerialStream::open(&builder).map_err(|error| explain(path, error))?;
    port.clear(ClearBuffer::Input).map_err(|error| explain(path, error))?;
    Ok(Box::new(port))
}

/// A port that is found again after its board was unplugged, even under another name: a system names
/// `ttyACM0` and `ttyACM1` in the order in which boards are plugged in.
#[derive(Clone, Debug)]
pub struct Port {
    path: String,
    baud: u32,
    hardware_flow: bool,
    /// Who sits at the port, once it was open.
    usb: Option<Usb>,
}

/// What a USB device says of itself: the same wherever it is plugged in.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Usb {
    vendor: u16,
    product: u16,
    serial: String,
}

impl Port {
    /// The port at `path`.
    #[must_use]
    pub fn new(path: &str, baud: u32, hardware_flow: bool) -> Self {
        Self { path: path.to_owned(), baud, hardware_flow, usb: None }
    }

    /// Opens the port, or the one to which its board has moved.
    ///
    /// # Errors
    /// As [`open`].
    pub fn open(&mut self) -> Result<BoxLink, Error> {
        let ports = serialport::available_ports().unwrap_or_default();
        if let Some(path) = self.usb.as_ref().and_then(|usb| moved(usb, &self.path, &ports)) {
            tracing::info!("the board of {} is at {path} now", self.path);
            self.path = path;
        }
        let link = open(&self.path, self.baud, self.hardware_flow)?;
        self.usb = self.usb.take().or_else(|| usb_of(&self.path, &ports));
        Ok(link)
    }
}

/// Who sits at `path`. Devices without a serial number cannot be told apart.
fn usb_of(path: &str, ports: &[SerialPortInfo]) -> Option<Usb> {
    let port = ports.iter().find(|port| port.port_name == path)?;
    let SerialPortType::UsbPort(usb) = &port.port_type else { return None };
    let serial = usb.serial_number.clone()?;
    Some(Usb { vendor: usb.vid, product: usb.pid, serial })
}

/// Where the device is now, if it is not at `path` any more.
fn moved(usb: &Usb, path: &str, ports: &[SerialPortInfo]) -> Option<String> {
    let is_there = |port: &SerialPortInfo| usb_of(&port.port_name, ports).as_ref() == Some(usb);
    if ports.iter().any(|port| port.port_name == path && is_there(port)) {
        return None;
    }
    ports.iter().find(|port| is_there(port)).map(|port| port.port_name.clone())
}

/// Maps an error of opening to what it means for the user.
fn explain(path: &str, error: serialport::Error) -> Error {
    let device = format!("serial:{path}");
    let missing = |device| Error::NoDevice {
        device,
        remedy: "plug it in, or see `spikeloop list` for the ports there are",
    };
    match error.kind() {
        // The library reports a lock held by others (TIOCEXCL or flock) as a missing device.
        ErrorKind::NoDevice if Path::new(path).exists() => Error::DeviceInUse { device },
        ErrorKind::NoDevice | ErrorKind::Io(io::ErrorKind::NotFound) => missing(device),
        ErrorKind::Io(io::ErrorKind::PermissionDenied) => {
            Error::Permission { device, remedy: PERMISSION_REMEDY }
        }
        _ => Error::Open { device, source: error.into() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_told_apart() {
        let explain = |path, kind| explain(path, serialport::Error::new(kind, "text"));
        let denied = ErrorKind::Io(io::ErrorKind::PermissionDenied);
        assert!(matches!(explain("/dev/x", denied), Error::Permission { .. }));
        assert!(matches!(explain("/dev/null", ErrorKind::NoDevice), Error::DeviceInUse { .. }));
        assert!(matches!(explain("/dev/none", ErrorKind::NoDevice), Error::NoDevice { .. }));
        let missing = ErrorKind::Io(io::ErrorKind::NotFound);
        assert!(matches!(explain("/dev/none", missing), Error::NoDevice { .. }));
        assert!(matches!(explain("/dev/null", ErrorKind::Unknown), Error::Open { .. }));
    }

    #[test]
    fn a_board_is_found_under_its_new_name() {
        let port = |name: &str, serial: Option<&str>| SerialPortInfo {
            port_name: name.into(),
            port_type: SerialPortType::UsbPort(serialport::UsbPortInfo {
                vid: 0x0403,
                pid: 0x6010,
                serial_number: serial.map(str::to_owned),
                manufacturer: None,
                product: None,
            }),
        };
        let before = [port("/dev/ttyUSB0", Some("A1")), port("/dev/ttyUSB1", Some("B2"))];
        let usb = usb_of("/dev/ttyUSB1", &before).unwrap();
        assert_eq!(moved(&usb, "/dev/ttyUSB1", &before), None);
        // Unplugged: nothing is found. Back, with another board in its old place: the new one is.
        assert_eq!(moved(&usb, "/dev/ttyUSB1", &before[..1]), None);
        let after = [port("/dev/ttyUSB1", Some("C3")), port("/dev/ttyUSB2", Some("B2"))];
        assert_eq!(moved(&usb, "/dev/ttyUSB1", &after), Some("/dev/ttyUSB2".into()));
        assert_eq!(usb_of("/dev/ttyUSB0", &[port("/dev/ttyUSB0", None)]), None);
    }

    #[tokio::test]
    async fn what_is_no_terminal_is_refused() {
        assert!(matches!(open("/dev/null", 9600, false), Err(Error::Open { .. })));
        assert!(matches!(open("/dev/none", 9600, false), Err(Error::NoDevice { .. })));
    }
}
