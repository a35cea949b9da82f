//! How long uploads are kept: while an application that has not ended names them, and a while after their last use; less long where
//! they take most of what they may.

use std::collections::BTreeSet;
use std::time::Duration;

use tracing::{info, warn};

use super::core::Core;
use crate::protocol::submission::Submission;
use crate::storage::{BlobId, BlobStore};
use crate::time::Now;

/// Between looks for uploads that may go.
pub(super) const SWEEP_INTERVAL: Duration = Duration::from_secs(600);

/// Of what uploads may take: above this the longest unused go, whenever they were used.
const KEPT_PERCENT: u64 = 75;

/// Where uploads are, and for how long an unused one stays.
#[derive(Clone, Debug)]
pub(super) struct Uploads {
    pub(super) blobs: BlobStore,
    pub(super) retention: Duration,
}

impl Uploads {
    /// Deletes what is in nobody's `use` and has not been fetched, asked for or uploaded for so long, or is in the way of others.
    /// Blocking.
    pub(super) fn sweep(&self, used: &BTreeSet<BlobId>, now: Now) {
        let retention_ms = u64::try_from(self.retention.as_millis()).unwrap_or(u64::MAX);
        let old = Now(now.0.saturating_sub(retention_ms));
        let blobs = match self.blobs.by_use() {
            Ok(blobs) => blobs,
            Err(error) => return warn!(%error, "cannot look for old uploads"),
        };
        let mut kept_bytes: u64 = blobs.iter().map(|(_, bytes, _)| bytes).sum();
        let most_bytes = self.blobs.bytes_max() / 100 * KEPT_PERCENT;
        for (last_use, bytes, blob) in blobs.into_iter().filter(|(.., blob)| !used.contains(blob)) {
            if last_use > old && kept_bytes <= most_bytes {
                break;
            }
            kept_bytes -= bytes;
            match self.blobs.remove(&blob) {
                Ok(()) => info!(%blob, "old upload deleted"),
                Err(error) => warn!(%blob, %error, "cannot delete an old upload"),
            }
        }
    }
}

impl Core {
    /// What applications that have not ended were submitted with.
    pub(super) fn blobs_in_use(&self) -> BTreeSet<BlobId> {
        self.live_submissions().flat_map(blobs_of).collect()
    }
}

/// Blobs that a submission's launch context names, by hash or by address.
fn blobs_of(submission: &Submission) -> Vec<BlobId> {
    let resources = submission.master.resources.values();
    let named = resources.flat_map(|resource| [resource.sha256.as_deref(), resource.url.rsplit('/').next()]);
    named.flatten().filter_map(|name| name.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uploads_stay_while_they_are_used_and_for_a_while_after() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = BlobStore::open(dir.path()).unwrap();
        let put = |content: &[u8], used: Now| {
            let id = BlobId::of(content);
            let mut writer = blobs.writer(&id).unwrap();
            writer.write(content).unwrap();
            writer.finish().unwrap();
            blobs.touch(&id, used);
            id
        };
        let (old, running, recent) = (put(b"old", Now(1_000)), put(b"running", Now(1_000)), put(b"recent", Now(9_000)));
        let uploads = Uploads { blobs: blobs.clone(), retention: Duration::from_secs(5) };
        uploads.sweep(&BTreeSet::from([running.clone()]), Now(10_000));
        assert_eq!((blobs.get(&old), blobs.get(&running).is_some(), blobs.get(&recent).is_some()), (None, true, true));
        uploads.sweep(&BTreeSet::new(), Now(10_000));
        assert!(blobs.get(&running).is_none(), "its application has ended");

        let (first, second) = (put(&[1; 500], Now(9_500)), put(&[2; 400], Now(9_600)));
        let crowded = Uploads { blobs: blobs.clone().at_most(1_000), ..uploads };
        crowded.sweep(&BTreeSet::from([recent.clone()]), Now(10_000));
        assert_eq!((blobs.get(&first), blobs.get(&second).is_some()), (None, true), "the one that was unused longer");
    }
}
