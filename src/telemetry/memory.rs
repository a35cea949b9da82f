//! The memory of this process.

use std::fs;

use crate::resource::MemorySize;

/// The resident memory of this process; `None` if the system does not tell.
pub fn process_rss() -> Option<MemorySize> {
    let pages = resident_pages(&fs::read_to_string("/proc/self/statm").ok()?)?;
    let page_bytes = u64::try_from(rustix::param::page_size()).ok()?;
    Some(MemorySize::from_bytes(pages.checked_mul(page_bytes)?))
}

/// The second number of `statm`.
fn resident_pages(statm: &str) -> Option<u64> {
    statm.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_knows_its_memory() {
        assert_eq!(resident_pages("4021 987 650 20 0 400 0\n"), Some(987));
        assert_eq!(resident_pages(""), None);
        let rss = process_rss().unwrap();
        assert!(rss > MemorySize::from_mebibytes(1) && rss < MemorySize::from_mebibytes(1 << 20), "{rss}");
    }
}
