//! Writing an object in parts.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::mem;

use object_store::{MultipartUpload, ObjectStoreExt, PutPayload};

use super::{Object, Objects, Pending, explain, given_up, io_error};
use crate::storage::Error;

/// A part; stores take no smaller ones than 5 MiB, except the last.
const PART_BYTES: usize = 8 << 20;
/// After so many parts they are twice as large: a store takes ten thousand, which so are half a terabyte.
const PARTS_ALIKE: usize = 2000;
/// Parts under way, beside the one that is filled. When they are so many, the writer waits.
const UNDER_WAY_MAX: usize = 2;

/// An object that is being written. It is there once [`Upload::finish`] has returned; dropped before, it never was.
pub struct Upload {
    objects: Objects,
    object: Object,
    buffer: Vec<u8>,
    /// More than one part.
    parts: Option<Parts>,
}

struct Parts {
    upload: Box<dyn MultipartUpload>,
    under_way: VecDeque<Pending<object_store::Result<()>>>,
    begun: usize,
}

impl Upload {
    pub(super) fn new(objects: Objects, object: Object) -> Self {
        Self { objects, object, buffer: Vec::new(), parts: None }
    }

    /// Makes the object visible, whole and durable.
    ///
    /// # Errors
    /// [`Error::Object`]; it is not there then, or nobody will ask for it.
    pub fn finish(mut self) -> Result<(), Error> {
        if self.parts.is_none() {
            let payload = PutPayload::from(mem::take(&mut self.buffer));
            let put = |object: Object| async move { object.store.put(&object.key, payload).await };
            return self.objects.request("write", self.object.clone(), put)?.map(drop);
        }
        if !self.buffer.is_empty() {
            self.begin_part()?;
        }
        self.wait_until(0)?;
        let Some(Parts { mut upload, .. }) = self.parts.take() else { return Ok(()) };
        let complete = |_| async move {
            let completed = upload.complete().await;
            if completed.is_err() {
                // Should it be complete nevertheless, there is nothing to abort.
                let _ = upload.abort().await;
            }
            completed
        };
        self.objects.request("write", self.object.clone(), complete)?.map(drop)
    }

    fn part_bytes(&self) -> usize {
        PART_BYTES << self.parts.as_ref().map_or(0, |parts| parts.begun / PARTS_ALIKE)
    }

    fn begin_part(&mut self) -> Result<(), Error> {
        if self.parts.is_none() {
            let begin = |object: Object| async move { object.store.put_multipart(&object.key).await };
            let upload = self.objects.request("write", self.object.clone(), begin)??;
            self.parts = Some(Parts { upload, under_way: VecDeque::new(), begun: 0 });
        }
        self.wait_until(UNDER_WAY_MAX - 1)?;
        let Some(parts) = &mut self.parts else { return Ok(()) };
        let part = parts.upload.put_part(PutPayload::from(mem::take(&mut self.buffer)));
        parts.begun += 1;
        parts.under_way.push_back(self.objects.begin("write", &self.object.place, part)?);
        Ok(())
    }

    /// Waits until no more than `left` parts are under way.
    fn wait_until(&mut self, left: usize) -> Result<(), Error> {
        let Some(parts) = &mut self.parts else { return Ok(()) };
        while parts.under_way.len() > left {
            let Some(part) = parts.under_way.pop_front() else { break };
            let place = &self.object.place;
            let outcome = part.wait().ok_or_else(|| given_up("write", place))?;
            outcome.map_err(|error| explain::error("write", place, &error))?;
        }
        Ok(())
    }
}

impl Write for Upload {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = self.part_bytes() - self.buffer.len();
        let taken = bytes.len().min(room);
        self.buffer.extend_from_slice(&bytes[..taken]);
        if taken == room {
            self.begin_part().map_err(io_error)?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let Some(Parts { mut upload, under_way, .. }) = self.parts.take() else { return };
        drop(under_way);
        let aborted = self.objects.begin("abort", &self.object.place, async move { upload.abort().await });
        let aborted = aborted.ok().and_then(Pending::wait);
        if !matches!(aborted, Some(Ok(()))) {
            // The bucket's rule for uploads that were never completed removes them.
            tracing::warn!(place = self.object.place, "parts of an upload that was given up are left in the store");
        }
    }
}
