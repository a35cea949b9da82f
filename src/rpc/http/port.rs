//! Who holds a port, from `/proc`.

use std::fs;
use std::path::Path;

/// The process that listens on TCP `port` of this machine, as `command (pid 123)`; `None` if it cannot be seen (it belongs to
/// another user, or is gone).
pub fn port_holder(port: u16) -> Option<String> {
    let inode = ["/proc/net/tcp", "/proc/net/tcp6"].iter().find_map(|table| {
        let table = fs::read_to_string(table).ok()?;
        listening_inode(&table, port).map(str::to_owned)
    })?;
    let socket = format!("socket:[{inode}]");
    let pids = fs::read_dir("/proc").ok()?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    for pid in pids.filter(|name| name.bytes().all(|byte| byte.is_ascii_digit())) {
        let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else {
            continue;
        };
        let holds = descriptors
            .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
            .any(|target| target.as_os_str() == socket.as_str());
        if holds {
            return Some(format!("{} (pid {pid})", command(Path::new(&format!("/proc/{pid}/cmdline")))));
        }
    }
    None
}

/// The inode of the listening socket of `port` in a table of `/proc/net`.
fn listening_inode(table: &str, port: u16) -> Option<&str> {
    const LISTEN: &str = "0A";
    let suffix = format!(":{port:04X}");
    table.lines().skip(1).find_map(|line| {
        let mut columns = line.split_whitespace();
        let local = columns.nth(1)?;
        let state = columns.nth(1)?;
        (local.ends_with(&suffix) && state == LISTEN).then(|| columns.nth(5)).flatten()
    })
}

/// The name of the program and its first arguments.
fn command(path: &Path) -> String {
    const ARGUMENTS_SHOWN: usize = 2;
    let line = fs::read(path).unwrap_or_default();
    let mut words = line.split(|byte| *byte == 0).map(String::from_utf8_lossy).filter(|word| !word.is_empty());
    let Some(program) = words.next() else {
        return "a process".to_owned();
    };
    let program = program.rsplit('/').next().unwrap_or_default().to_owned();
    words.take(ARGUMENTS_SHOWN - 1).fold(program, |text, word| format!("{text} {word}"))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn the_holder_of_a_port_is_named() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let holder = port_holder(listener.local_addr().unwrap().port()).unwrap();
        assert!(holder.contains(&format!("(pid {})", std::process::id())), "{holder}");
    }

    #[test]
    fn only_listening_sockets_count() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
             0: 0100007F:1F98 0100007F:8888 01 00000000:00000000 00:00000000 00000000 0 0 111 1\n\
             1: 0100007F:1F98 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 222 1\n";
        assert_eq!(listening_inode(table, 8088), Some("222"));
        assert_eq!(listening_inode(table, 8089), None);
    }
}
