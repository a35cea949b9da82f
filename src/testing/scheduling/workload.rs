//! What applications want over time: a line of JSON each, read from a trace or made from a seed.

use serde::{Deserialize, Serialize};

/// One application. It asks for `parallel` containers at a time until it has had `containers`, and then ends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Line {
    /// When it comes, in milliseconds from the beginning.
    pub(super) at_ms: u64,
    /// Leaf queue, by path or unique name.
    pub(super) queue: String,
    /// Who submits it.
    pub(super) user: String,
    /// Larger numbers first.
    #[serde(default)]
    pub(super) priority: u32,
    /// How many containers it needs in all.
    pub(super) containers: u64,
    /// How many it wants at a time.
    pub(super) parallel: u32,
    /// Of one container, in MiB.
    pub(super) memory_mb: u64,
    /// Of one container.
    pub(super) vcores: u32,
    /// Shortest and longest life of a container; lives are spread evenly between.
    pub(super) duration_ms: (u64, u64),
    /// Which part of its asks names a host or a rack, from 0 to 1.
    #[serde(default)]
    pub(super) local: f64,
}

/// Why a trace cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// A line is not one of ours.
    #[error("line {line} of the trace: {cause}")]
    Line {
        /// From 1.
        line: usize,
        /// What is wrong with it.
        cause: String,
    },
}

/// Reads a trace: one JSON object a line, blank lines apart.
///
/// # Errors
/// [`Error::Line`] names the first line that is wrong.
pub(super) fn parse(text: &str) -> Result<Vec<Line>, Error> {
    let mut lines = Vec::new();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let wrong = |cause: String| Error::Line { line: index + 1, cause };
        let line: Line = serde_json::from_str(line).map_err(|error| wrong(error.to_string()))?;
        if line.memory_mb == 0 || line.parallel == 0 || line.duration_ms.0 > line.duration_ms.1 {
            return Err(wrong(
                "memory_mb and parallel must be above 0, and duration_ms go from short to long".to_owned(),
            ));
        }
        lines.push(line);
    }
    lines.sort_by_key(|line| line.at_ms);
    Ok(lines)
}

/// Applications that together want a little more than the cluster has, for as long as it is watched: a tenth comes in a burst at
/// the beginning, the others over the first seconds. Seven asks in ten go anywhere, three name a host or a rack; containers
/// live 1 to 100 s.
pub(super) fn synthetic(seed: u64, queues: &[String], applications: usize, cores: u64) -> Vec<Line> {
    let mut random = fastrand::Rng::with_seed(seed);
    let sizes = [(1024, 1), (2048, 1), (4096, 1), (4096, 2), (8192, 2), (16_384, 4)];
    let each = cores / applications.max(1) as u64;
    let mut lines: Vec<Line> = (0..applications)
        .map(|index| {
            let (memory_mb, vcores) = random.choice(sizes).unwrap_or(sizes[0]);
            let parallel = (each * 5 / 4 / u64::from(vcores)).max(1);
            Line {
                at_ms: if index % 10 == 0 { 0 } else { random.u64(0..5000) },
                queue: queues[index % queues.len()].clone(),
                user: format!("user{}", random.u32(0..4)),
                priority: random.u32(0..3),
                containers: u64::MAX,
                parallel: u32::try_from(parallel).unwrap_or(u32::MAX),
                memory_mb,
                vcores,
                duration_ms: (1000, 100_000),
                local: 0.3,
            }
        })
        .collect();
    lines.sort_by_key(|line| line.at_ms);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_read_back_as_it_was_written_and_a_wrong_line_is_named() {
        let lines = synthetic(7, &["root.a".to_owned(), "root.b".to_owned()], 20, 640);
        let text: String = lines.iter().map(|line| serde_json::to_string(line).unwrap() + "\n").collect();
        assert_eq!(parse(&text).unwrap(), lines);
        let error = parse(&format!("{text}\n{{\"at_ms\": 1}}")).unwrap_err().to_string();
        assert!(error.starts_with("line 22 of the trace: missing field"), "{error}");
    }
}
