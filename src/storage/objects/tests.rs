use std::io::{Read, Seek, SeekFrom, Write};
use std::sync::Arc;

use object_store::memory::InMemory;
use proptest::prelude::*;

use super::faults::Faulty;
use super::*;

fn memory() -> Objects {
    Objects::with_bucket("b", Arc::new(InMemory::new()))
}

fn some_bytes(len: usize) -> Vec<u8> {
    let mut bytes = (0..=250).collect::<Vec<u8>>().repeat(len / 251 + 1);
    bytes.truncate(len);
    bytes
}

#[test]
fn an_object_is_created_once_and_read_back() {
    let objects = memory();
    let (first, other) = (Bytes::from_static(b"first"), Bytes::from_static(b"other"));
    assert_eq!(objects.read("s3://b/d/k").unwrap(), None);
    assert_eq!(objects.create_new("s3://b/d/k", first.clone()).unwrap(), Creation::Created);
    assert_eq!(objects.create_new("s3://b/d/k", other).unwrap(), Creation::AlreadyExists);
    // As when the answer was lost and it is tried again.
    assert_eq!(objects.create_new("s3://b/d/k", first.clone()).unwrap(), Creation::Created);
    assert_eq!((objects.read("s3://b/d/k").unwrap(), objects.len("s3://b/d/k").unwrap()), (Some(first), Some(5)));
    assert_eq!(objects.directories("s3://b").unwrap(), ["d"]);
    assert_eq!(objects.names("s3://b/d").unwrap(), ["k"]);
    objects.remove_below("s3://b/d").unwrap();
    objects.remove("s3://b/d/k").unwrap();
    assert_eq!((objects.len("s3://b/d/k").unwrap(), objects.names("s3://b/d").unwrap()), (None, vec![]));
}

#[test]
fn requests_are_made_from_within_an_async_runtime_too() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let objects = memory();
        objects.create_new("s3://b/k", Bytes::from_static(b"x")).unwrap();
        assert_eq!(objects.len("s3://b/k").unwrap(), Some(1));
    });
}

#[test]
fn what_was_uploaded_in_parts_is_one_object() {
    let objects = memory();
    for len in [0, 5, 8 << 20, (8 << 20) + 1, 35 << 20] {
        let bytes = some_bytes(len);
        let mut upload = objects.upload("s3://b/k").unwrap();
        bytes.chunks(3_000_001).for_each(|chunk| upload.write_all(chunk).unwrap());
        upload.finish().unwrap();
        assert!(objects.read("s3://b/k").unwrap().unwrap() == bytes, "{len} bytes");
        let mut read = Vec::new();
        objects.download("s3://b/k").unwrap().unwrap().read_to_end(&mut read).unwrap();
        assert!(read == bytes, "{len} bytes, read on");
    }
}

#[test]
fn an_upload_that_fails_at_any_step_or_is_dropped_is_no_object() {
    for (requests, has_effect) in (0..6).flat_map(|requests| [(requests, false), (requests, true)]) {
        let (store, faults) = Faulty::after(requests, has_effect);
        let objects = Objects::with_bucket("b", store);
        let upload = || -> Result<(), std::io::Error> {
            let mut upload = objects.upload("s3://b/k").map_err(std::io::Error::other)?;
            upload.write_all(&some_bytes(20 << 20))?;
            upload.finish().map_err(std::io::Error::other)
        };
        let uploaded = upload();
        faults.mend();
        let found = objects.len("s3://b/k").unwrap();
        // Begun, three parts, completed.
        match (requests, has_effect) {
            (5, _) => assert!(uploaded.is_ok() && found == Some(20 << 20)),
            (4, true) => assert!(uploaded.is_err() && found == Some(20 << 20), "whole, though nobody knows"),
            _ => assert!(uploaded.is_err() && found.is_none(), "after {requests}"),
        }
    }
    let objects = memory();
    let mut upload = objects.upload("s3://b/k").unwrap();
    upload.write_all(&some_bytes(20 << 20)).unwrap();
    drop(upload);
    assert_eq!(objects.len("s3://b/k").unwrap(), None);
}

#[test]
fn reading_on_takes_few_requests_and_the_end_takes_one() {
    let (store, faults) = Faulty::after(u64::from(u32::MAX), false);
    let objects = Objects::with_bucket("b", store);
    objects.create_new("s3://b/k", some_bytes(32 << 20).into()).unwrap();
    let mut download = objects.download("s3://b/k").unwrap().unwrap();
    let before = faults.made();
    let end = download.seek(SeekFrom::End(0)).unwrap();
    for back in [28, 5000] {
        download.seek(SeekFrom::Start(end - back)).unwrap();
        download.read_exact(&mut [0; 20]).unwrap();
    }
    assert_eq!(faults.made() - before, 1);
    download.seek(SeekFrom::Start(0)).unwrap();
    let mut whole = Vec::new();
    download.read_to_end(&mut whole).unwrap();
    assert!(whole == some_bytes(32 << 20));
    assert!(faults.made() - before < 12, "{} requests", faults.made() - before);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn a_download_reads_as_a_file_does(steps in proptest::collection::vec((0u64..900_000, 0usize..400_000), 1..12)) {
        let (objects, bytes) = (memory(), some_bytes(800_000));
        objects.create_new("s3://b/k", bytes.clone().into()).unwrap();
        let mut download = objects.download("s3://b/k").unwrap().unwrap();
        let mut file = std::io::Cursor::new(bytes);
        for (at, len) in steps {
            // Half of them read on where they are.
            if at % 2 == 0 {
                prop_assert_eq!(download.seek(SeekFrom::Start(at)).unwrap(), file.seek(SeekFrom::Start(at)).unwrap());
            }
            let (mut read, mut expected) = (Vec::new(), Vec::new());
            (&mut download).take(len as u64).read_to_end(&mut read).unwrap();
            (&mut file).take(len as u64).read_to_end(&mut expected).unwrap();
            prop_assert!(read == expected);
        }
    }
}
