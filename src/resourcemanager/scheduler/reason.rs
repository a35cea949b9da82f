//! Why an ask waits, in one line.

use std::fmt;

use crate::resource::Resource;

/// Why an ask is not satisfied. Its text names what is missing and how much there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    NoNode,
    NoUsableNode { nodes: usize },
    AllBlacklisted { nodes: usize },
    TooLarge { asked: Resource, nodes: usize, largest: Resource },
    NoRoom { asked: Resource, nodes: usize, blacklisted: usize, largest: Resource },
    NoLabel { label: String },
    Locality { names: Vec<String> },
    MasterShare { queue: String, used: Resource, limit: Resource, asked: Resource },
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
            Self::NoNode => f.write_str("no node registered"),
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
            Self::NoLabel { label } => write!(f, "no node has label {label}"),
            Self::Locality { names } if names.is_empty() => {
                f.write_str("no host or rack is asked for, and the row * does not relax locality")
            }
            Self::Locality { names } => write!(f, "waiting for {}: locality", names.join(", ")),
            Self::MasterShare { queue, used, limit, asked } => {
                let memory = used.memory_mb + asked.memory_mb > limit.memory_mb;
                let amount = |r: &Resource| if memory { format!("{} MB", r.memory_mb) } else { cores(r) };
                let [used, limit, asked] = [used, limit, asked].map(amount);
                write!(f, "queue {queue} is at its AM share: masters use {used} of {limit}, this one asks for {asked}")
            }
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
