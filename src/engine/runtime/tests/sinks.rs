//! A sink that publishes numbers.

use std::sync::Mutex;

use crate::engine::operators::{OperatorContext, Sink, SinkWriter};
use crate::engine::record::Rows;
use crate::graph::task::Failure;

/// Publishes numbers.
#[derive(Default)]
pub(crate) struct Numbers {
    published: Mutex<Vec<u64>>,
}

struct NumbersWriter(Vec<u64>);

impl Sink for Numbers {
    type In = u64;

    fn writer(&self, _context: &OperatorContext) -> Result<Box<dyn SinkWriter<u64>>, Failure> {
        Ok(Box::new(NumbersWriter(Vec::new())))
    }

    fn commit(&self, committables: Vec<serde_json::Value>) -> Result<(), Failure> {
        assert!(!committables.is_empty(), "nothing to publish");
        self.published.lock().unwrap().extend(committables.iter().filter_map(serde_json::Value::as_u64));
        Ok(())
    }
}

impl SinkWriter<u64> for NumbersWriter {
    fn write(&mut self, batch: Rows<u64>) -> Result<(), Failure> {
        self.0.extend(batch.0);
        Ok(())
    }

    fn prepare_checkpoint(&mut self) -> Result<Vec<serde_json::Value>, Failure> {
        self.prepare()
    }

    fn prepare(&mut self) -> Result<Vec<serde_json::Value>, Failure> {
        Ok(self.0.drain(..).map(|number| serde_json::json!(number)).collect())
    }
}

impl Numbers {
    /// What has been published, sorted.
    pub(crate) fn published(&self) -> Vec<u64> {
        let mut published = self.published.lock().unwrap().clone();
        published.sort_unstable();
        published
    }
}
