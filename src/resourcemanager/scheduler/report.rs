//! Queues as others see them.

use super::Scheduler;
use super::admission::applications_max;
use super::keys::QueueKey;
use super::queues::{Queue, Share};
use super::users::{self, User};
use crate::config::queues::{Capacity, Preemption};
use crate::resourcemanager::report::{QueueReport, ShareReport, UserReport};

impl Scheduler {
    /// Every queue, the root first, parents before children.
    pub(crate) fn reports(&self) -> Vec<QueueReport> {
        self.queues.iter().map(|(key, queue)| self.report(key, queue)).collect()
    }

    fn report(&self, key: QueueKey, queue: &Queue) -> QueueReport {
        let shares = queue.shares.iter().zip(self.nodes.partitions()).map(|(share, partition)| {
            let above = queue.parent.and_then(|parent| self.queues.get(parent).shares.first().copied());
            self.share(share, &partition.label, &partition.total, above.as_ref().unwrap_or(share))
        });
        let preemption = if self.is_spared(key) { Preemption::None } else { self.config.scheduler.preemption };
        QueueReport {
            path: queue.path.clone(),
            name: queue.name().to_owned(),
            parent: queue.parent.map(|parent| self.queues.get(parent).path.clone()),
            is_leaf: queue.is_leaf(),
            state: queue.state(),
            mode: queue.config.capacity.as_ref().map_or("weight", Capacity::mode),
            weight: match queue.config.capacity {
                Some(Capacity::Weight(weight)) => Some(weight),
                None => Some(1.0),
                Some(Capacity::Percent(_) | Capacity::Absolute(_)) => None,
            },
            priority: queue.config.priority,
            ordering: if queue.is_fair() { "fair" } else { "fifo" },
            shares: shares.collect(),
            pending: self.kinds.resource(&queue.pending),
            pending_containers: queue.pending_containers,
            containers: queue.containers,
            applications: queue.applications,
            running: queue.running,
            applications_max: applications_max(queue),
            parallel_max: queue.config.max_parallel_apps,
            user_limit_percent: queue.config.minimum_user_limit_percent.unwrap_or(100.0),
            user_limit_factor: queue.config.user_limit_factor.unwrap_or(1.0),
            masters_part: queue.config.maximum_am_resource_percent.unwrap_or(self.masters_part),
            maximum_allocation: queue.config.maximum_allocation.clone(),
            submit: queue.config.acl_submit_applications.clone(),
            administer: queue.config.acl_administer_queue.clone(),
            preemption,
            default_priority: queue.config.default_application_priority.unwrap_or(0),
            default_lifetime: queue.config.default_application_lifetime,
            maximum_lifetime: queue.config.maximum_application_lifetime,
            default_label: queue.config.default_node_label_expression.clone(),
            users: queue.users.iter().filter(|user| user.applications > 0).map(|user| self.user(queue, user)).collect(),
        }
    }

    fn share(&self, share: &Share, label: &str, total: &super::Amount, above: &Share) -> ShareReport {
        let resource = |amount: &super::Amount| self.kinds.resource(amount);
        let part = |amount: &super::Amount, whole: &super::Amount| {
            if whole.is_zero() { 0.0 } else { amount.lesser(whole).dominant_share(whole) }
        };
        ShareReport {
            label: label.to_owned(),
            of_parent: part(&share.promised, &above.promised),
            most_of_parent: part(&share.most, &above.most),
            absolute: part(&share.promised, total),
            absolute_most: part(&share.most, total),
            absolute_used: part(&share.used, total),
            used_of_promised: if share.ratio.is_finite() { share.ratio } else { 0.0 },
            promised: resource(&share.promised),
            most: resource(&share.most),
            used: resource(&share.used),
            reserved: resource(&share.reserved),
            masters: resource(&share.masters),
            masters_most: resource(&share.masters_most),
        }
    }

    fn user(&self, queue: &Queue, user: &User) -> UserReport {
        let used = user.used.iter().fold(super::Amount::ZERO, |sum, used| sum.plus(used));
        let limit = users::limit(queue, user, Self::unlabelled(), &super::Amount::ZERO);
        UserReport {
            name: user.name.clone(),
            used: self.kinds.resource(&used),
            masters: self.kinds.resource(&user.masters),
            limit: self.kinds.resource(&limit),
            weight: user.weight,
            applications: user.applications,
            is_active: user.wanting > 0,
        }
    }
}
