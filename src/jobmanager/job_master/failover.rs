//! Decides what a failure means: try again, and when, or give up, and what to say.
//!
//! ```text
//! failure ─► the strategy still allows a restart? ─► the same failure again and again? ─► Restart { at } │ GiveUp { why }
//! ```

use std::time::Duration;

use crate::config::RestartStrategy;
use crate::graph::task::Failure;
use crate::rpc::ErrorKind;
use crate::time::Now;

/// What a failure means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    Restart { at: Now },
    GiveUp { why: Option<String> },
}

/// So many equal failures in a row end a job whose failures do not look transient.
const EQUAL_FAILURES_MAX: u32 = 3;
/// A job that ran this long before it failed has made progress: the row of equal failures is broken.
const CALM: Duration = Duration::from_secs(600);

/// The failures of a job so far, as far as its strategy cares.
#[derive(Clone, Debug)]
pub(super) struct Failover {
    strategy: RestartStrategy,
    restarts: u32,
    recent: Vec<Now>,
    last_failure_at: Option<Now>,
    backoff: Duration,
    equal: u32,
    last: Option<(Option<String>, String)>,
    seed: u64,
}

impl Failover {
    pub(super) fn new(strategy: RestartStrategy, seed: u64) -> Self {
        Self {
            strategy,
            restarts: 0,
            recent: Vec::new(),
            last_failure_at: None,
            backoff: Duration::ZERO,
            equal: 0,
            last: None,
            seed,
        }
    }

    /// Restarts decided so far.
    pub(super) fn restarts(&self) -> u32 {
        self.restarts
    }

    /// Asks the strategy; counts the failure.
    pub(super) fn on_failure(&mut self, now: Now) -> Decision {
        let decision = match self.strategy.clone() {
            RestartStrategy::None => Decision::GiveUp { why: None },
            RestartStrategy::FixedDelay { attempts, .. } if self.restarts >= attempts => Decision::GiveUp {
                why: Some(format!("restarted {attempts} times, as restart-strategy.fixed-delay.attempts allows")),
            },
            RestartStrategy::FixedDelay { delay, .. } => Decision::Restart { at: now + delay },
            RestartStrategy::FailureRate { max_failures, interval, delay } => {
                self.by_rate(max_failures, interval, delay, now)
            }
            RestartStrategy::ExponentialDelay { initial, max, multiplier, reset_after, jitter, attempts } => {
                self.exponential(initial, max, multiplier, (reset_after, attempts), jitter, now)
            }
        };
        if let Decision::Restart { .. } = decision {
            self.restarts += 1;
        }
        self.last_failure_at = Some(now);
        decision
    }

    /// Whether the cause shows that a restart will not help. `ran_for`: how long the job ran before it.
    pub(super) fn is_deterministic(&mut self, failure: &Failure, ran_for: Duration) -> Option<String> {
        let place = (failure.operator.clone(), failure.message.clone());
        let equal = self.last.as_ref() == Some(&place) && ran_for < CALM;
        self.equal = if equal { self.equal + 1 } else { 1 };
        self.last = Some(place);
        let suspect = match failure.kind {
            ErrorKind::User | ErrorKind::Permanent => true,
            ErrorKind::Transient | ErrorKind::Fenced => false,
        };
        (suspect && self.equal >= EQUAL_FAILURES_MAX)
            .then(|| format!("failed {} times in a row in the same way; a restart will not help", self.equal))
    }

    fn by_rate(&mut self, max_failures: u32, interval: Duration, delay: Duration, now: Now) -> Decision {
        self.recent.retain(|at| now.since(*at) < interval);
        self.recent.push(now);
        if self.recent.len() > max_failures as usize {
            let seconds = interval.as_secs_f64();
            return Decision::GiveUp { why: Some(format!("more than {max_failures} failures within {seconds} s")) };
        }
        Decision::Restart { at: now + delay }
    }

    fn exponential(
        &mut self,
        initial: Duration,
        max: Duration,
        multiplier: f64,
        (reset_after, attempts): (Duration, Option<u32>),
        jitter: f64,
        now: Now,
    ) -> Decision {
        let calm = self.last_failure_at.is_none_or(|at| now.since(at) >= reset_after + self.backoff);
        if calm {
            self.restarts = 0;
            self.backoff = initial;
        } else {
            self.backoff = self.backoff.mul_f64(multiplier.max(1.0)).min(max);
        }
        if attempts.is_some_and(|attempts| self.restarts >= attempts) {
            let why = format!("restarted {} times without a calm while between", self.restarts);
            return Decision::GiveUp { why: Some(why) };
        }
        let mut random = fastrand::Rng::with_seed(self.seed);
        let swing = 1.0 + jitter.clamp(0.0, 1.0) * (2.0 * random.f64() - 1.0);
        self.seed = random.u64(..);
        Decision::Restart { at: now + self.backoff.mul_f64(swing) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Now {
        Now(seconds * 1000)
    }

    fn decisions(strategy: RestartStrategy, failures: &[u64]) -> Vec<Option<u64>> {
        let mut failover = Failover::new(strategy, 1);
        let decide = |seconds: &u64| match failover.on_failure(at(*seconds)) {
            Decision::Restart { at } => Some(at.0 - seconds * 1000),
            Decision::GiveUp { .. } => None,
        };
        failures.iter().map(decide).collect()
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn strategies_decide_as_flinks_do() {
        assert_eq!(decisions(RestartStrategy::None, &[0]), [None]);
        let fixed = RestartStrategy::FixedDelay { attempts: 2, delay: SECOND };
        assert_eq!(decisions(fixed, &[0, 5, 9]), [Some(1000), Some(1000), None]);
        let rate = RestartStrategy::FailureRate { max_failures: 2, interval: 60 * SECOND, delay: SECOND };
        assert_eq!(decisions(rate, &[0, 10, 70, 75, 76]), [Some(1000), Some(1000), Some(1000), Some(1000), None]);
        let exponential = RestartStrategy::ExponentialDelay {
            initial: SECOND,
            max: 3 * SECOND,
            multiplier: 2.0,
            reset_after: 100 * SECOND,
            jitter: 0.0,
            attempts: None,
        };
        let waits = [Some(1000), Some(2000), Some(3000), Some(3000), Some(1000)];
        assert_eq!(decisions(exponential, &[0, 5, 10, 20, 500]), waits);
    }

    #[test]
    fn jitter_comes_from_the_seed() {
        let exponential = RestartStrategy::ExponentialDelay {
            initial: 10 * SECOND,
            max: 10 * SECOND,
            multiplier: 1.0,
            reset_after: SECOND,
            jitter: 0.5,
            attempts: None,
        };
        let waits = decisions(exponential.clone(), &[0, 100, 200]);
        assert_eq!(waits, decisions(exponential, &[0, 100, 200]));
        assert!(waits.iter().flatten().all(|wait| (5000..=15000).contains(wait)), "{waits:?}");
    }

    #[test]
    fn the_same_user_failure_thrice_in_a_row_is_deterministic() {
        let mut failover = Failover::new(RestartStrategy::None, 1);
        let bad = Failure::user("cannot parse \"x\"").in_operator("parse");
        let brief = SECOND;
        assert_eq!(failover.is_deterministic(&bad, brief), None);
        assert_eq!(failover.is_deterministic(&bad, brief), None);
        assert!(failover.is_deterministic(&bad, brief).unwrap().starts_with("failed 3 times in a row"));
        assert_eq!(failover.is_deterministic(&bad, 2 * CALM), None, "a long run breaks the row");
        let flaky = Failure::transient("connection reset");
        for _ in 0..9 {
            assert_eq!(failover.is_deterministic(&flaky, brief), None);
        }
    }
}
