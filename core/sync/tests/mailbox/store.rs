//! A relay's store in memory: the simplest thing that keeps the rules, as a measure for others, and to be lied with.

use std::collections::BTreeMap;
use std::convert::Infallible;

use twin_identity::sign::Signature;
use twin_sync::machine::Millis;
use twin_sync::mailbox::refusal::Refusal;
use twin_sync::mailbox::store::{Kept, Listed, MAX_LISTED, Mark, Outcome, Present};
use twin_sync::mailbox::terms::{MAX_POSTS, MAX_PRESENCES, REMEMBERED, ROW_COST};
use twin_sync::mailbox::{Address, EnvelopeId, Limits, MailboxStore, Slot};

#[derive(Clone, Debug)]
pub struct Shelf {
    pub limits: Limits,
    pub boxes: BTreeMap<Address, Box>,
}

#[derive(Clone, Debug, Default)]
pub struct Box {
    pub mark: Mark,
    /// When its last post expires.
    pub latest: Millis,
    /// As long as it is remembered although it is empty.
    pub until: Millis,
    pub posts: BTreeMap<u64, Post>,
    pub presences: BTreeMap<Slot, Presence>,
}

#[derive(Clone, Debug)]
pub struct Post {
    pub id: EnvelopeId,
    pub sealed: Vec<u8>,
    pub expires: Millis,
    pub withdrawn: Option<Signature>,
}

#[derive(Clone, Debug)]
pub struct Presence {
    pub version: u64,
    pub sealed: Option<Vec<u8>>,
    pub expires: Millis,
}

impl Shelf {
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            boxes: BTreeMap::new(),
        }
    }

    /// Drops what has expired.
    pub fn sweep(&mut self, now: Millis) {
        for one in self.boxes.values_mut() {
            one.posts.retain(|_, post| post.expires > now);
            one.presences.retain(|_, presence| presence.expires > now);
        }
        self.boxes
            .retain(|_, one| !one.posts.is_empty() || !one.presences.is_empty() || one.until > now);
    }

    pub fn bytes(&self) -> u64 {
        self.boxes.values().map(|one| one.bytes() + ROW_COST).sum()
    }

    /// All bytes that anybody who has this store can read.
    #[allow(dead_code)]
    pub fn all_bytes(&self) -> Vec<Vec<u8>> {
        let posts = self.boxes.values().flat_map(|one| one.posts.values());
        let presences = self.boxes.values().flat_map(|one| one.presences.values());
        let mut all: Vec<_> = posts.map(|post| post.sealed.clone()).collect();
        all.extend(presences.filter_map(|presence| presence.sealed.clone()));
        all
    }
}

impl Box {
    pub fn bytes(&self) -> u64 {
        let posts = self.posts.values().map(|post| post.sealed.len());
        let presences = self
            .presences
            .values()
            .map(|one| one.sealed.as_ref().map_or(0, Vec::len));
        posts
            .chain(presences)
            .map(|len| len as u64 + ROW_COST)
            .sum()
    }
}

impl MailboxStore for Shelf {
    type Error = Infallible;

    fn put(
        &mut self,
        now: Millis,
        address: &Address,
        sealed: &[u8],
    ) -> Result<Outcome<Kept>, Infallible> {
        let (terms, id) = (self.limits.terms, EnvelopeId::of(sealed));
        let total = self.bytes();
        let empty = Box::default();
        let one = self.boxes.get(address).unwrap_or(&empty);
        let same = one
            .posts
            .iter()
            .find(|(_, post)| post.id == id && post.expires > now);
        if let Some((number, post)) = same {
            return Ok(Ok(Kept {
                number: *number,
                expires: post.expires,
                version: one.mark.version,
            }));
        }
        let cost = sealed.len() as u64 + ROW_COST;
        let there = one.posts.values().filter(|post| post.withdrawn.is_none());
        let full = there.count() as u64 >= u64::from(terms.posts);
        if full || one.mark.last >= u64::from(MAX_POSTS) || one.bytes() + cost > terms.bytes {
            return Ok(Err(Refusal::MailboxFull));
        }
        let made = if self.boxes.contains_key(address) {
            0
        } else {
            ROW_COST
        };
        if total + made + cost > self.limits.total {
            return Ok(Err(Refusal::RelayFull));
        }
        let one = self.boxes.entry(*address).or_default();
        one.mark.last += 1;
        one.mark.version += 1;
        // In the order of the numbers, whatever the clock does.
        let before = one
            .posts
            .values()
            .map(|post| post.expires)
            .max()
            .unwrap_or(0);
        let expires = (now + terms.post_life).max(before);
        one.latest = expires;
        let post = Post {
            id,
            sealed: sealed.to_vec(),
            expires,
            withdrawn: None,
        };
        one.until = one.until.max(expires + REMEMBERED);
        one.posts.insert(one.mark.last, post);
        Ok(Ok(Kept {
            number: one.mark.last,
            expires,
            version: one.mark.version,
        }))
    }

    fn list(
        &mut self,
        now: Millis,
        address: &Address,
        after: u64,
    ) -> Result<Vec<Listed>, Infallible> {
        let Some(one) = self.boxes.get(address) else {
            return Ok(Vec::new());
        };
        let posts = one.posts.range(after.saturating_add(1)..);
        let posts = posts
            .filter(|(_, post)| post.expires > now)
            .take(MAX_LISTED);
        Ok(posts
            .map(|(number, post)| Listed {
                number: *number,
                id: post.id,
                expires: post.expires,
                withdrawn: post.withdrawn,
            })
            .collect())
    }

    fn size(
        &mut self,
        now: Millis,
        address: &Address,
        number: u64,
    ) -> Result<Option<usize>, Infallible> {
        Ok(self.get(now, address, number)?.map(|sealed| sealed.len()))
    }

    fn get(
        &mut self,
        now: Millis,
        address: &Address,
        number: u64,
    ) -> Result<Option<Vec<u8>>, Infallible> {
        let post = self
            .boxes
            .get(address)
            .and_then(|one| one.posts.get(&number));
        let post = post.filter(|post| post.expires > now && post.withdrawn.is_none());
        Ok(post.map(|post| post.sealed.clone()))
    }

    fn withdraw(
        &mut self,
        now: Millis,
        address: &Address,
        number: u64,
        id: &EnvelopeId,
        signature: &Signature,
    ) -> Result<Outcome<u64>, Infallible> {
        let Some(one) = self.boxes.get_mut(address) else {
            return Ok(Err(Refusal::Gone));
        };
        let post = one.posts.get_mut(&number);
        let Some(post) = post.filter(|post| post.expires > now && post.id == *id) else {
            return Ok(Err(Refusal::Gone));
        };
        if post.withdrawn.is_none() {
            post.withdrawn = Some(*signature);
            post.sealed = Vec::new();
            one.mark.version += 1;
        }
        Ok(Ok(one.mark.version))
    }

    fn present(
        &mut self,
        now: Millis,
        address: &Address,
        slot: &Slot,
        sealed: Option<&[u8]>,
    ) -> Result<Outcome<u64>, Infallible> {
        let terms = self.limits.terms;
        let total = self.bytes();
        let empty = Box::default();
        let one = self.boxes.get(address).unwrap_or(&empty);
        let held = one.presences.get(slot);
        if held.is_none() && sealed.is_none() {
            return Ok(Ok(one.mark.version));
        }
        let cost = sealed.map_or(0, <[u8]>::len) as u64 + ROW_COST;
        let old = held.map_or(0, |held| {
            held.sealed.as_ref().map_or(0, Vec::len) as u64 + ROW_COST
        });
        let full = held.is_none() && one.presences.len() >= MAX_PRESENCES as usize;
        if full || one.bytes() + cost > terms.bytes + old {
            return Ok(Err(Refusal::MailboxFull));
        }
        let made = if self.boxes.contains_key(address) {
            0
        } else {
            ROW_COST
        };
        if total + made + cost > self.limits.total + old {
            return Ok(Err(Refusal::RelayFull));
        }
        let one = self.boxes.entry(*address).or_default();
        one.mark.version += 1;
        let version = one.mark.version;
        let expires = now + terms.presence_life;
        one.until = one.until.max(now + REMEMBERED);
        let sealed = sealed.map(<[u8]>::to_vec);
        one.presences.insert(
            *slot,
            Presence {
                version,
                sealed,
                expires,
            },
        );
        Ok(Ok(version))
    }

    fn presences(
        &mut self,
        now: Millis,
        address: &Address,
        after: u64,
    ) -> Result<Vec<Present>, Infallible> {
        let Some(one) = self.boxes.get(address) else {
            return Ok(Vec::new());
        };
        let all = one.presences.iter();
        let news = all.filter(|(_, one)| one.version > after && one.expires > now);
        let mut news: Vec<_> = news
            .map(|(slot, one)| Present {
                slot: *slot,
                version: one.version,
                sealed: one.sealed.clone(),
            })
            .collect();
        news.sort_by_key(|present| present.version);
        Ok(news)
    }

    fn mark(&mut self, address: &Address) -> Result<Mark, Infallible> {
        Ok(self
            .boxes
            .get(address)
            .map_or_else(Mark::default, |one| one.mark))
    }
}
