//! Joins that a script drives.

use super::{TestStream, execute_and_collect};
use crate::prelude::*;

#[test]
fn bounds_may_be_exclusive_and_late_records_go_aside() {
    const LATE: OutputTag<i64> = OutputTag::new("late");
    let env = StreamExecutionEnvironment::new();
    let at = |times: &[i64]| times.iter().map(|time| (*time, EventTime(*time))).collect::<Vec<_>>();
    let left =
        TestStream::new().add_elements(at(&[10])).advance_watermark_to(EventTime(15)).add_elements(at(&[14, 15]));
    let right = TestStream::new().add_elements(at(&[8, 9, 10, 11, 12])).advance_watermark_to(EventTime(15));
    let left = env.from_source(left, "left").key_by(|_| 0u8);
    let right = env.from_source(right, "right").key_by(|_| 0u8);
    let join = left.interval_join(&right).between(-2, 2).lower_bound_exclusive().upper_bound_exclusive();
    let pairs = join.side_output_left_late_data(&LATE).apply(|a, b| (*a, *b));
    let late = pairs.side_output(&LATE).map(|late| (late, -1));
    let mut seen = execute_and_collect(&pairs.union(&late), "pairs").unwrap();
    seen.sort_unstable();
    assert_eq!(seen, [(10, 9), (10, 10), (10, 11), (14, -1)]);
}
