//! Why an ask waits, in one line.

use std::fmt;

use crate::resource::Resource;

/// Why an ask is not satisfied. Its text names what is missing and how much there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    NoNode { gone: usize },
    NoUsableNode { nodes: usize },
    AllBlacklisted { nodes: usize },
    TooLarge { asked: Resource, nodes: usize, largest: Resource },
    NoRoom { asked: Resource, nodes: usize, blacklisted: usize, largest: Resource },
    Reserved { node: String, asked: Resource, free: Resource },
    NoLabel { label: String, known: usize },
    NoAccess { queue: String, label: String },
    UnknownKind { name: String },
    Locality { names: Vec<String> },
    MasterShare { queue: String, used: Resource, limit: Resource, asked: Resource },
    ParallelApplications { queue: String, limit: u32 },
    QueueMaximum { queue: String, used: Resource, limit: Resource, asked: Resource },
    UserLimit { user: String, queue: String, used: Resource, limit: Resource },
    Turn { queue: String },
    Recovering,
}

impl Reason {
    /// Whether `other` differs in kind, not only in its numbers.
    pub(crate) fn same_kind(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoNode { gone: 0 } => f.write_str("no node registered"),
            Self::NoNode { gone } => write!(f, "no node registered ({gone} lost or shut down)"),
            Self::NoUsableNode { nodes } => {
                write!(f, "no node can take containers: {} known, none running and connected", count(*nodes))
            }
            Self::AllBlacklisted { nodes } => write!(f, "the application has blacklisted every node ({nodes})"),
            Self::TooLarge { asked, nodes, largest } => {
                let (asked, most) = missing(asked, largest);
                write!(f, "no node is large enough for {asked}: {}, the largest has {most}", count(*nodes))
            }
            Self::NoRoom { asked, nodes, blacklisted, largest } => {
                let (asked, most) = missing(asked, largest);
                write!(f, "no node has {asked} free: {}, largest free {most}", count(*nodes))?;
                if *blacklisted > 0 {
                    write!(f, " ({blacklisted} more blacklisted)")?;
                }
                Ok(())
            }
            Self::Reserved { node, asked, free } => {
                let (asked, free) = missing(asked, free);
                write!(f, "node {node} is held free for it: needs {asked}, free {free}")
            }
            Self::NoLabel { label, known: 0 } => write!(f, "no node has label {label}"),
            Self::NoLabel { label, known } => {
                write!(f, "label {label} is on no healthy node ({known} lost, unfit or disconnected)")
            }
            Self::NoAccess { queue, label } => write!(f, "queue {queue} may not use nodes with label {label}"),
            Self::UnknownKind { name } => write!(f, "no node offers {name}"),
            Self::Locality { names } if names.is_empty() => {
                f.write_str("no host or rack is asked for, and the row * does not relax locality")
            }
            Self::Locality { names } => write!(f, "waiting for {}: locality", names.join(", ")),
            Self::MasterShare { queue, used, limit, asked } => {
                let [used, limit, asked] = scarcest(used, limit, asked);
                write!(f, "queue {queue} is at its AM share: masters use {used} of {limit}, this one asks for {asked}")
            }
            Self::ParallelApplications { queue, limit } => {
                write!(f, "queue {queue} runs {limit} applications, as many as it may")
            }
            Self::QueueMaximum { queue, used, limit, asked } => {
                let [used, limit, asked] = scarcest(used, limit, asked);
                write!(f, "queue {queue} is at its maximum: it uses {used} of {limit}, this asks for {asked}")
            }
            Self::UserLimit { user, queue, used, limit } => {
                let [used, limit, _] = scarcest(used, limit, &Resource::default());
                write!(f, "user {user} is at the limit in queue {queue}: uses {used} of {limit}")
            }
            Self::Turn { queue } => write!(f, "others are served first in queue {queue}"),
            Self::Recovering => f.write_str("the ResourceManager has restarted and waits for its nodes to come back"),
        }
    }
}

fn count(nodes: usize) -> String {
    if nodes == 1 { "1 node".to_owned() } else { format!("{nodes} nodes") }
}

fn cores(resource: &Resource) -> String {
    format!("{} vcores", resource.vcores)
}

/// Both in the dimension that is missing: memory if that is short; else cores, or every one.
fn missing(asked: &Resource, most: &Resource) -> (String, String) {
    let memory = |r: &Resource| format!("{} MB", r.memory_mb);
    if asked.memory_mb > most.memory_mb {
        return (memory(asked), memory(most));
    }
    if asked.vcores > most.vcores {
        return (cores(asked), cores(most));
    }
    (format!("{asked} on one node"), most.to_string())
}

/// All in the dimension in which `used` and `asked` exceed `limit`: memory if that is it; else cores, or every one.
fn scarcest(used: &Resource, limit: &Resource, asked: &Resource) -> [String; 3] {
    let over = |used: u64, asked: u64, limit: u64| used + asked > limit || (asked == 0 && used >= limit);
    let all = [used, limit, asked];
    if over(used.memory_mb, asked.memory_mb, limit.memory_mb) {
        return all.map(|r| format!("{} MB", r.memory_mb));
    }
    if over(u64::from(used.vcores), u64::from(asked.vcores), u64::from(limit.vcores)) {
        return all.map(cores);
    }
    all.map(ToString::to_string)
}
