//! Serial ports, opened exclusively.

use super::BoxLink;
use crate::error::Error;
use serialport::{ClearBuffer, ErrorKind, SerialPort};
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

    #[tokio::test]
    async fn what_is_no_terminal_is_refused() {
        assert!(matches!(open("/dev/null", 9600, false), Err(Error::Open { .. })));
        assert!(matches!(open("/dev/none", 9600, false), Err(Error::NoDevice { .. })));
    }
}
