//! Seeds that must pass, and planted mistakes that must be found.

use super::{Bug, run};

#[test]
fn seeds_pass() {
    for seed in 0..50 {
        let run = run(seed, None, false);
        if let Some(violation) = run.violation {
            panic!("seed {seed}: {violation}\n{}", run.trace.join("\n"));
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in [1, 7, 23] {
        let (first, second) = (run(seed, None, true), run(seed, None, true));
        assert_eq!(first.trace, second.trace);
    }
}

fn is_found(bug: Bug) {
    assert!((0..200).any(|seed| run(seed, Some(bug), false).violation.is_some()), "{bug:?} is not found");
}

#[test]
fn a_resource_manager_that_answers_too_early_is_found() {
    is_found(Bug::ResourceManagerIgnoresPersist);
}

#[test]
fn publishing_before_the_decision_is_found() {
    is_found(Bug::CommitBeforeDecision);
}

#[test]
fn a_split_read_twice_is_found() {
    is_found(Bug::SplitHandedOutTwice);
}

#[test]
fn forgotten_containers_are_found() {
    is_found(Bug::NodeForgetsContainers);
}

#[test]
fn a_container_that_starts_on_a_node_that_is_lost_unseen_is_found() {
    is_found(Bug::LostNodeIsNotTold);
}

#[test]
fn a_drained_job_that_goes_on_is_found() {
    is_found(Bug::DrainedJobGoesOn);
}

#[test]
fn state_that_is_acknowledged_too_early_is_found() {
    is_found(Bug::StateAcknowledgedEarly);
}

#[test]
fn output_forgotten_at_a_barrier_is_found() {
    is_found(Bug::CutWithoutOutput);
}

#[test]
fn positions_forgotten_at_a_barrier_are_found() {
    is_found(Bug::CutForgetsPositions);
}

#[test]
fn removed_output_that_is_published_is_found() {
    is_found(Bug::DiscardedOutputIsPublished);
}

#[test]
fn a_manifest_without_a_file_is_found() {
    is_found(Bug::ManifestWithoutAFile);
}

#[test]
fn a_job_that_goes_on_from_an_earlier_checkpoint_is_found() {
    is_found(Bug::GoesOnFromAnEarlierCheckpoint);
}

#[test]
fn a_latest_checkpoint_that_is_collected_is_found() {
    is_found(Bug::LatestIsCollected);
}

#[test]
fn output_said_to_be_published_and_not_is_found() {
    is_found(Bug::CommitNotDone);
}

#[test]
fn messages_lost_on_a_resumed_link_are_found() {
    is_found(Bug::LinkForgetsOnResume);
}
