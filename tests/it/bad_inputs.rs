//! What is wrong is refused: `tests/bad_inputs/` lists bad command lines, configuration, programs, inputs, savepoints and requests, each
//! with what is said about it. All of them meet one resource manager and one job manager, which must not mind.

mod case;
mod site;

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use self::case::Case;
use self::site::Site;

/// Where the requests of a group go.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Server {
    JobManager,
    ResourceManager,
}

macro_rules! group {
    ($name:literal, $server:ident) => {
        ($name, Server::$server, include_str!(concat!("../bad_inputs/", $name, ".yaml")))
    };
}

const GROUPS: [(&str, Server, &str); 7] = [
    group!("command_line", JobManager),
    group!("configuration", JobManager),
    group!("inputs", JobManager),
    group!("programs", JobManager),
    group!("savepoints", JobManager),
    group!("job_manager_rest", JobManager),
    group!("resource_manager_rest", ResourceManager),
];

/// Cases at a time: most wait for a process to start.
const SIDE_BY_SIDE: usize = 3;

fn cases() -> Vec<(String, Server, Case)> {
    let mut all = Vec::new();
    for (group, server, text) in GROUPS {
        let cases: Vec<Case> = serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{group}: {error}"));
        all.extend(cases.into_iter().map(|case| (format!("{group}: {}", case.title()), server, case)));
    }
    all
}

#[test]
fn every_bad_input_is_refused_with_its_cause_and_what_to_do() {
    let cases = cases();
    assert!(cases.len() >= 200, "{} cases", cases.len());
    let titles: BTreeSet<&String> = cases.iter().map(|(title, ..)| title).collect();
    assert_eq!(titles.len(), cases.len(), "a case stands there twice");
    let site = Site::start();
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..SIDE_BY_SIDE {
            scope.spawn(|| {
                while let Some((title, server, case)) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(complaint) = site.meets(case, *server) {
                        wrong.lock().unwrap().push(format!("{title}\n{complaint}"));
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{} of {} cases:\n\n{}", wrong.len(), cases.len(), wrong.join("\n\n"));
    site.is_as_it_was();
}

#[test]
fn a_program_that_prints_without_end_fills_no_disk_and_can_be_cancelled() {
    let site = Site::start();
    site.cancels_what_prints_without_end();
}
