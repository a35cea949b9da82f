//! A worker does not outlive its TaskManager.

use std::io::{self, Read};
use std::thread;

/// Ends the process when stdin closes: the TaskManager holds the other end of that pipe, so the system closes it when the
/// TaskManager dies, however it dies.
///
/// # Errors
/// When the thread cannot be started.
pub(super) fn end_with_task_manager() -> io::Result<()> {
    thread::Builder::new().name("flott-orphan".to_owned()).spawn(|| {
        let mut nothing = [0u8; 64];
        let mut stdin = io::stdin();
        loop {
            match stdin.read(&mut nothing) {
                // Nobody writes there; whatever comes is not for us.
                Ok(1..) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => break,
            }
        }
        eprintln!("the TaskManager is gone; its worker ends");
        std::process::exit(0);
    })?;
    Ok(())
}
