//! The end of an `apply`: news of masters become responses, stops and acknowledgements become messages to nodes.

use super::Core;
use crate::ids::{ApplicationAttemptId, ContainerId};
use crate::protocol::application_master::{AllocateResponse, ToApplicationMaster};
use crate::protocol::container::ExitCause;
use crate::protocol::node::ToNode;
use crate::protocol::tokens::{CONTAINER_TOKEN, ContainerTokenIdentifier};
use crate::resourcemanager::event::Effect;
use crate::resourcemanager::mailbox::Channel;
use crate::rpc::token::Token;
use crate::time::Now;

impl Core {
    pub(super) fn deliver(&mut self, now: Now, out: &mut Vec<Effect>) {
        for id in std::mem::take(&mut self.outgoing.mail) {
            self.deliver_to(id, now, out);
        }
        self.flush_stops(out);
        for (node, containers) in std::mem::take(&mut self.outgoing.acknowledged) {
            let message = Box::new(ToNode::CompletionsAcknowledged { containers });
            out.push(Effect::ToNode { node, message });
        }
        for (node, applications) in std::mem::take(&mut self.outgoing.finished) {
            let applications = applications.into_iter().collect();
            out.push(Effect::ToNode { node, message: Box::new(ToNode::ApplicationsFinished { applications }) });
        }
        for application in std::mem::take(&mut self.outgoing.changed) {
            if let Some(version) = self.applications.get(&application).map(|application| application.version) {
                out.push(Effect::ApplicationChanged { application, version });
            }
        }
    }

    fn deliver_to(&mut self, id: ApplicationAttemptId, now: Now, out: &mut Vec<Effect>) {
        let Some(attempt) = self.attempts.get_mut(&id) else { return };
        let mailbox = &mut attempt.mailbox;
        if !mailbox.has_news() || mailbox.channel == Channel::Silent || !attempt.is_registered() {
            return;
        }
        let mailbox = &mut attempt.mailbox;
        mailbox.reasons_changed = false;
        let noticed = std::mem::take(&mut mailbox.notices_changed);
        let granted = std::mem::take(&mut mailbox.granted);
        let updated_nodes = std::mem::take(&mut mailbox.nodes);
        let told = std::mem::take(&mut mailbox.completed);
        let (mut completed, mut ended) = (Vec::new(), Vec::new());
        for (status, node) in told {
            ended.push((status.container, node));
            completed.push(status);
        }
        let response = AllocateResponse {
            response_id: 0,
            allocated: granted.into_iter().filter_map(|container| self.allocation(container, now)).collect(),
            completed,
            headroom: self.scheduler.free(),
            updated_nodes,
            cluster_nodes: self.usable_nodes(),
            pending: self.attempts.get(&id).map(|attempt| self.pending(attempt, now)).unwrap_or_default(),
            preempting: if noticed { Some(self.notices(id, now)) } else { None },
            stop_requested: None,
        };
        let Some(attempt) = self.attempts.get_mut(&id) else { return };
        let response = attempt.mailbox.send(response, ended);
        let message = Box::new(ToApplicationMaster::Allocated(response));
        out.push(Effect::ToMaster { attempt: id, message });
    }

    /// An answer without news, for a master that asks by HTTP and has waited long enough.
    pub fn empty_response(&self, id: ApplicationAttemptId, now: Now) -> Option<AllocateResponse> {
        let attempt = self.attempts.get(&id)?;
        Some(AllocateResponse {
            response_id: attempt.mailbox.last_id(),
            headroom: self.scheduler.free(),
            cluster_nodes: self.usable_nodes(),
            pending: self.pending(attempt, now),
            ..AllocateResponse::default()
        })
    }

    /// One message per node and cause, in the order the stops were decided.
    pub(super) fn flush_stops(&mut self, out: &mut Vec<Effect>) {
        let mut batches: Vec<(crate::ids::NodeId, ExitCause, Vec<ContainerId>)> = Vec::new();
        for (node, container, cause) in std::mem::take(&mut self.outgoing.stops) {
            match batches.iter_mut().find(|(to, why, _)| *to == node && *why == cause) {
                Some((_, _, containers)) => containers.push(container),
                None => batches.push((node, cause, vec![container])),
            }
        }
        for (node, cause, containers) in batches {
            let message = Box::new(ToNode::StopContainers { containers, cause });
            out.push(Effect::ToNode { node, message });
        }
    }

    /// The right to start `id`, from now until it expires.
    pub(super) fn container_token(&self, id: ContainerId, now: Now) -> Option<Token> {
        let container = self.containers.get(&id)?;
        let application = self.applications.get(&id.attempt.application)?;
        let identifier = ContainerTokenIdentifier {
            container: id,
            node: container.node.clone(),
            user: application.submission.user.clone(),
            resource: container.resource.clone(),
            priority: container.priority,
            expires_at: now + self.settings.allocation_expiry,
            resource_manager: self.cluster.identity,
        };
        let bytes = serde_json::to_vec(&identifier).expect("an identifier is plain data with text keys");
        Some(self.key.sign(CONTAINER_TOKEN, &container.node.to_string(), &bytes))
    }

    fn usable_nodes(&self) -> u32 {
        u32::try_from(self.scheduler.usable_nodes()).unwrap_or(u32::MAX)
    }
}
