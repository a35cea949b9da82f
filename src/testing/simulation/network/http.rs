//! HTTP requests: asked once, answered once or not at all.

use super::super::messages::{Answer, Request};
use super::super::world::{Input, Pid, World};
use super::{HTTP_TIMEOUT_MS, HttpId, NetEvent, host_of};

impl World {
    /// Asks something by HTTP; [`Input::Answered`] follows.
    pub(in super::super) fn request(&mut self, from: Pid, from_host: &str, address: &str, request: Request) -> HttpId {
        self.net.last_id += 1;
        let id = HttpId(self.net.last_id);
        self.net.requests.insert(id, (from, address.to_owned(), None));
        let delay = self.message_delay();
        if self.net.reaches(from_host, host_of(address), self.now) {
            self.net_after(delay, NetEvent::RequestArrives(id, Box::new(request)));
        } else {
            let unreachable = Err(format!("{address} does not answer"));
            self.net_after(HTTP_TIMEOUT_MS, NetEvent::AnswerArrives(id, Box::new(unreachable)));
        }
        id
    }

    /// Answers a request.
    pub(in super::super) fn answer(&mut self, id: HttpId, answer: Answer) {
        let delay = self.message_delay();
        let answer = if self.net.answers_to_lose > 0 {
            self.net.answers_to_lose -= 1;
            self.note("fault", "an HTTP answer is lost");
            Err("connection reset".to_owned())
        } else {
            Ok(answer)
        };
        self.net_after(delay, NetEvent::AnswerArrives(id, Box::new(answer)));
    }

    pub(super) fn request_arrives(&mut self, id: HttpId, request: Request) {
        let Some((_, address, target)) = self.net.requests.get_mut(&id) else { return };
        match self.net.listeners.get(address.as_str()).copied() {
            Some(pid) => {
                *target = Some(pid);
                self.hand(pid, Input::Request(id, request));
            }
            None => {
                let why = format!("cannot connect to {address}: connection refused");
                self.net_after(1, NetEvent::AnswerArrives(id, Box::new(Err(why))));
            }
        }
    }
}
