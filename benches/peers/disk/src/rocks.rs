//! RocksDB by its C interface, as Debian has it.

use std::collections::HashMap;
use std::error::Error;
use std::ffi::{CStr, CString, c_char, c_int, c_uchar};
use std::path::Path;
use std::ptr;

use super::Store;

#[repr(C)]
struct Opaque([u8; 0]);
type Handle = *mut Opaque;

#[link(name = "rocksdb")]
unsafe extern "C" {
    fn rocksdb_options_create() -> Handle;
    fn rocksdb_options_set_create_if_missing(options: Handle, value: c_uchar);
    fn rocksdb_options_set_write_buffer_size(options: Handle, bytes: usize);
    fn rocksdb_options_set_max_write_buffer_number(options: Handle, number: c_int);
    fn rocksdb_options_set_block_based_table_factory(options: Handle, table: Handle);
    fn rocksdb_options_set_compression(options: Handle, kind: c_int);
    fn rocksdb_options_increase_parallelism(options: Handle, threads: c_int);
    fn rocksdb_block_based_options_create() -> Handle;
    fn rocksdb_block_based_options_set_block_cache(table: Handle, cache: Handle);
    fn rocksdb_block_based_options_set_filter_policy(table: Handle, policy: Handle);
    fn rocksdb_filterpolicy_create_bloom_full(bits: f64) -> Handle;
    fn rocksdb_cache_create_lru(bytes: usize) -> Handle;
    fn rocksdb_open(options: Handle, name: *const c_char, error: *mut *mut c_char) -> Handle;
    fn rocksdb_close(db: Handle);
    fn rocksdb_readoptions_create() -> Handle;
    fn rocksdb_writeoptions_create() -> Handle;
    fn rocksdb_writeoptions_disable_WAL(options: Handle, disable: c_int);
    fn rocksdb_get(db: Handle, o: Handle, key: *const u8, len: usize, out: *mut usize, e: *mut *mut c_char) -> *mut u8;
    fn rocksdb_put(db: Handle, o: Handle, key: *const u8, len: usize, value: *const u8, vlen: usize, e: *mut *mut c_char);
    fn rocksdb_multi_get(
        db: Handle,
        o: Handle,
        count: usize,
        keys: *const *const u8,
        lens: *const usize,
        values: *mut *mut u8,
        value_lens: *mut usize,
        errors: *mut *mut c_char,
    );
    fn rocksdb_writebatch_create() -> Handle;
    fn rocksdb_writebatch_clear(batch: Handle);
    fn rocksdb_writebatch_put(batch: Handle, key: *const u8, len: usize, value: *const u8, vlen: usize);
    fn rocksdb_write(db: Handle, o: Handle, batch: Handle, e: *mut *mut c_char);
    fn rocksdb_free(pointer: *mut u8);
}

pub struct Rocks {
    db: Handle,
    read: Handle,
    write: Handle,
    batch: Handle,
    batched: bool,
}

impl Rocks {
    pub fn open(path: &Path, memory: u64, batched: bool) -> Result<Self, Box<dyn Error>> {
        let name = CString::new(path.to_string_lossy().as_bytes())?;
        let mut error = ptr::null_mut();
        // SAFETY: every handle is made by the function that its users want it from, and lives as long as the process.
        unsafe {
            let options = rocksdb_options_create();
            rocksdb_options_set_create_if_missing(options, 1);
            rocksdb_options_set_write_buffer_size(options, memory as usize / 4);
            rocksdb_options_set_max_write_buffer_number(options, 2);
            rocksdb_options_set_compression(options, 0);
            rocksdb_options_increase_parallelism(options, 2);
            let table = rocksdb_block_based_options_create();
            rocksdb_block_based_options_set_block_cache(table, rocksdb_cache_create_lru(memory as usize / 2));
            rocksdb_block_based_options_set_filter_policy(table, rocksdb_filterpolicy_create_bloom_full(10.0));
            rocksdb_options_set_block_based_table_factory(options, table);
            let db = rocksdb_open(options, name.as_ptr(), &raw mut error);
            told(error)?;
            let write = rocksdb_writeoptions_create();
            rocksdb_writeoptions_disable_WAL(write, 1);
            Ok(Self { db, read: rocksdb_readoptions_create(), write, batch: rocksdb_writebatch_create(), batched })
        }
    }
}

fn told(error: *mut c_char) -> Result<(), Box<dyn Error>> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: RocksDB gives a text with an end.
    Err(unsafe { CStr::from_ptr(error) }.to_string_lossy().into_owned().into())
}

/// Takes a value of RocksDB's, and gives its memory back.
fn taken(value: *mut u8, len: usize) -> u64 {
    if value.is_null() || len != 8 {
        return 0;
    }
    let mut bytes = [0; 8];
    // SAFETY: it is as long as was said.
    unsafe {
        ptr::copy_nonoverlapping(value, bytes.as_mut_ptr(), 8);
        rocksdb_free(value);
    }
    u64::from_le_bytes(bytes)
}

impl Store for Rocks {
    fn add(&mut self, sums: &HashMap<u64, u64>) -> Result<(), Box<dyn Error>> {
        let mut error = ptr::null_mut();
        let rows: Vec<([u8; 8], u64)> = sums.iter().map(|(key, more)| (key.to_be_bytes(), *more)).collect();
        if !self.batched {
            for (key, more) in &rows {
                let mut len = 0;
                // SAFETY: pointers and lengths are those of arrays that live.
                unsafe {
                    let value = rocksdb_get(self.db, self.read, key.as_ptr(), 8, &raw mut len, &raw mut error);
                    let sum = (taken(value, len) + more).to_le_bytes();
                    rocksdb_put(self.db, self.write, key.as_ptr(), 8, sum.as_ptr(), 8, &raw mut error);
                }
            }
            return told(error);
        }
        let keys: Vec<*const u8> = rows.iter().map(|(key, _)| key.as_ptr()).collect();
        let lens = vec![8; rows.len()];
        let (mut values, mut value_lens) = (vec![ptr::null_mut(); rows.len()], vec![0; rows.len()]);
        let mut errors = vec![ptr::null_mut(); rows.len()];
        // SAFETY: as above; every vector is as long as was said.
        unsafe {
            rocksdb_multi_get(
                self.db,
                self.read,
                rows.len(),
                keys.as_ptr(),
                lens.as_ptr(),
                values.as_mut_ptr(),
                value_lens.as_mut_ptr(),
                errors.as_mut_ptr(),
            );
            rocksdb_writebatch_clear(self.batch);
            for (((key, more), value), len) in rows.iter().zip(values).zip(value_lens) {
                let sum = (taken(value, len) + more).to_le_bytes();
                rocksdb_writebatch_put(self.batch, key.as_ptr(), 8, sum.as_ptr(), 8);
            }
            rocksdb_write(self.db, self.write, self.batch, &raw mut error);
        }
        told(error)
    }
}

impl Drop for Rocks {
    fn drop(&mut self) {
        // SAFETY: it was opened, and is used no more.
        unsafe { rocksdb_close(self.db) }
    }
}
