//! What a device does when a relay says no.

use super::super::message::Refused;
use super::super::refusal::Refusal;
use super::desk::Desk;
use super::{Client, ClientEvent, MAX_PAUSE, Question, Step};
use crate::machine::Millis;

impl Client {
    pub(super) fn on_refused(
        &mut self,
        now: Millis,
        question: Question,
        refused: &Refused,
        desk: &mut Desk,
    ) {
        let why = refused.why;
        if why == Refusal::TooFast {
            let wait = refused.wait.unwrap_or(MAX_PAUSE).clamp(1, MAX_PAUSE);
            self.pause = Some(now.saturating_add(wait));
            self.ask_again(question);
            return;
        }
        let (address, order) = match question {
            Question::Prove(address) => {
                self.step(&address, |opened| opened.proof = Step::Refused);
                let kept = |order: &super::desk::Order| order.address != address;
                let lost = desk.orders.extract_if(.., |_, order| !kept(order));
                let told = lost.map(|(order, _)| ClientEvent::Refused {
                    address,
                    order: Some(order),
                    why,
                });
                self.events.extend(told);
                (address, None)
            }
            Question::Watch(address) => {
                self.step(&address, |opened| opened.watch = Step::Refused);
                (address, None)
            }
            Question::List { address, .. } => {
                self.step(&address, |opened| opened.listing = false);
                (address, None)
            }
            Question::Order(address, order) => {
                desk.orders.remove(&order);
                (address, Some(order))
            }
            Question::Get {
                address,
                number,
                expires,
                ..
            } => {
                // It may have been taken back, or have expired, since it was listed: that is asked once.
                if expires > now && why == Refusal::Gone {
                    self.step(&address, |opened| {
                        opened.missing.insert(number);
                        let after = Some(number.saturating_sub(1));
                        opened.list = opened.list.min(after).or(after);
                    });
                    return;
                }
                (address, None)
            }
        };
        self.events.push_back(ClientEvent::Refused {
            address,
            order,
            why,
        });
    }

    fn ask_again(&mut self, question: Question) {
        match question {
            Question::Prove(address) => {
                self.step(&address, |opened| opened.proof = Step::Ahead);
            }
            Question::Watch(address) => {
                self.step(&address, |opened| opened.watch = Step::Ahead);
            }
            Question::List { address, after, .. } => self.step(&address, |opened| {
                opened.listing = false;
                opened.list = opened.list.min(Some(after)).or(Some(after));
            }),
            Question::Get {
                address, number, ..
            } => self.step(&address, |opened| {
                opened.tried.remove(&number);
            }),
            // It is still among the orders.
            Question::Order(..) => {}
        }
    }
}
