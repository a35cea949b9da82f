//! Which queue an application goes to, and whether its user may.

use std::time::Duration;

use super::Scheduler;
use super::keys::QueueKey;
use super::queues::{APPLICATIONS_MAX, Queue};
use crate::config::queues::{PlacementRule, QueueState};
use crate::resource::Resource;

/// What somebody wants to do in a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Submit applications to it.
    Submit,
    /// End, move and reorder applications of others in it.
    Administer,
}

/// An application that asks to be let in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate<'a> {
    pub(crate) user: &'a str,
    pub(crate) name: &'a str,
    /// As submitted.
    pub(crate) queue: &'a str,
    /// Its master's container.
    pub(crate) resource: &'a Resource,
    /// It has been let in before: the ResourceManager has restarted. Limits and access were checked then.
    pub(crate) again: bool,
}

impl Scheduler {
    /// The path of the leaf that takes an application.
    ///
    /// # Errors
    /// Why none does, for its diagnostics.
    pub(crate) fn admit(&self, candidate: &Candidate<'_>) -> Result<String, String> {
        // It was placed when it was submitted; a rule that refuses it says so here.
        if !candidate.again {
            self.place(candidate.user, candidate.name, candidate.queue)?;
        }
        let Some(key) = self.queues.leaf(candidate.queue) else { return Err(self.no_such_queue(candidate.queue)) };
        let queue = self.queues.get(key);
        if candidate.again {
            return Ok(queue.path.clone());
        }
        if let Some((_, stopped)) =
            self.queues.upwards(key).find(|(_, queue)| queue.config.state == QueueState::Stopped)
        {
            return Err(format!("queue {} is {} and takes no applications", stopped.path, stopped.state()));
        }
        if !self.may_access(key, candidate.user, Access::Submit) {
            return Err(format!("user {} may not submit to queue {}", candidate.user, queue.path));
        }
        let full = |(_, queue): &(QueueKey, &Queue)| queue.applications >= applications_max(queue) as usize;
        if let Some((_, full)) = self.queues.upwards(key).find(full) {
            let most = applications_max(full);
            return Err(format!("queue {} has {most} applications, as many as it takes; try again later", full.path));
        }
        if let Some(most) = queue.config.maximum_allocation.as_ref().filter(|most| !most.fits(candidate.resource)) {
            let (asked, path) = (candidate.resource, &queue.path);
            return Err(format!("the master asks for {asked}, queue {path} allows at most {most} in one container"));
        }
        Ok(queue.path.clone())
    }

    /// The path of the leaf that an application of that user and name goes to; none if it will be refused.
    pub(crate) fn placed(&self, user: &str, name: &str, queue: &str) -> Option<String> {
        let place = self.place(user, name, queue).ok()?;
        self.queues.leaf(&place).map(|key| self.queues.get(key).path.clone())
    }

    /// By the first rule that fits; without rules, by name.
    fn place(&self, user: &str, application: &str, submitted: &str) -> Result<String, String> {
        let fill = |queue: &String| {
            let group = self.groups_of(user).next().unwrap_or_default();
            queue.replace("%user", user).replace("%primary_group", group)
        };
        for rule in &self.config.placement {
            let queue = match rule {
                PlacementRule::User { user: of, queue } if of == user || of == "%user" => Some(fill(queue)),
                PlacementRule::Group { group, queue } if self.groups_of(user).any(|of| of == group) => {
                    Some(fill(queue))
                }
                PlacementRule::Application { name, queue } if name == application => Some(fill(queue)),
                PlacementRule::Specified => Some(submitted.to_owned()),
                PlacementRule::Default { queue } => Some(fill(queue)),
                PlacementRule::Reject => {
                    return Err(format!("no placement rule takes applications of {user} named {application}"));
                }
                PlacementRule::User { .. } | PlacementRule::Group { .. } | PlacementRule::Application { .. } => None,
            };
            // A rule whose queue does not exist leaves the application to the next.
            if let Some(queue) = queue.filter(|queue| self.queues.leaf(queue).is_some()) {
                return Ok(queue);
            }
        }
        Ok(submitted.to_owned())
    }

    fn groups_of<'a>(&'a self, user: &'a str) -> impl Iterator<Item = &'a str> {
        let has = move |(_, members): &(&String, &Vec<String>)| members.iter().any(|member| member == user);
        self.config.groups.iter().filter(has).map(|(group, _)| group.as_str())
    }

    fn no_such_queue(&self, name: &str) -> String {
        let mut known: Vec<&str> = Vec::new();
        let mut ambiguous = false;
        for (_, queue) in self.queues.iter() {
            if queue.is_leaf() {
                ambiguous |= queue.name() == name;
                known.push(&queue.path);
            } else if queue.path == name {
                return format!("queue {name} has queues below it and takes no applications itself; name one of them");
            }
        }
        if ambiguous {
            return format!("more than one queue is called {name}; give the whole path: {}", known.join(", "));
        }
        format!("there is no queue {name}; submit to one of: {}", known.join(", "))
    }

    /// Whether `user` may, there or anywhere above.
    pub(crate) fn has_access(&self, queue: &str, user: &str, access: Access) -> Option<bool> {
        let known = self.queues.iter().find(|(_, known)| known.path == queue).map(|(key, _)| key);
        known.or_else(|| self.queues.leaf(queue)).map(|key| self.may_access(key, user, access))
    }

    fn may_access(&self, key: QueueKey, user: &str, access: Access) -> bool {
        // Who administers a queue may also submit to it.
        let lists = |queue: &Queue| match access {
            Access::Submit => [queue.config.acl_submit_applications.clone(), queue.config.acl_administer_queue.clone()],
            Access::Administer => [queue.config.acl_administer_queue.clone(), None],
        };
        self.queues.upwards(key).any(|(_, queue)| {
            let root = queue.parent.is_none();
            let [first, second] = lists(queue);
            let usual = first.is_none() && root && access == Access::Submit;
            usual || [first, second].into_iter().flatten().any(|list| self.is_listed(&list, user))
        })
    }

    /// `user1,user2 group1,group2`; `*` is everybody.
    fn is_listed(&self, list: &str, user: &str) -> bool {
        if list.trim() == "*" {
            return true;
        }
        let (users, groups) = list.split_once(' ').unwrap_or((list, ""));
        users.split(',').any(|listed| listed.trim() == user)
            || groups.split(',').any(|group| self.groups_of(user).any(|of| of == group.trim()))
    }

    /// Priority of an application that names none.
    pub(crate) fn default_priority(&self, queue: &str) -> u32 {
        let leaf = self.queues.leaf(queue).map(|key| self.queues.get(key));
        leaf.and_then(|queue| queue.config.default_application_priority).unwrap_or(0)
    }

    /// How long an application of a queue lives that wants so long; none: as long as it likes.
    pub(crate) fn lifetime(&self, queue: &str, wanted: Option<Duration>) -> Option<Duration> {
        let leaf = self.queues.leaf(queue)?;
        let most = self.queues.upwards(leaf).filter_map(|(_, queue)| queue.config.maximum_application_lifetime).min();
        let usual = self.queues.upwards(leaf).find_map(|(_, queue)| queue.config.default_application_lifetime);
        [wanted.or(usual), most].into_iter().flatten().min()
    }

    /// The largest container that an application may ask for, where its queue says.
    pub(crate) fn maximum_allocation(&self, key: super::AppKey) -> Option<&Resource> {
        let leaf = self.apps.get(key.index())?.leaf;
        self.queues.upwards(leaf).find_map(|(_, queue)| queue.config.maximum_allocation.as_ref())
    }
}

/// How many applications it takes.
pub(super) fn applications_max(queue: &Queue) -> u32 {
    let unlimited = if queue.is_leaf() { APPLICATIONS_MAX } else { u32::MAX };
    queue.config.maximum_applications.unwrap_or(unlimited)
}
