//! The sites that a person has signed in to, each under one or more personas.
//!
//! A persona at a site stays the same whatever happens to devices. When the words are replaced a new generation of
//! pseudonyms begins, because whoever had the old words can make the old ones: those sites are listed for moving. A site
//! knows the person by the old pseudonym until they have moved there.

use data_encoding::HEXLOWER;
use twin_identity::context;
use twin_identity::pseudonym::{Algorithm, PersonaKey, SiteId};
use twin_ops::space::SpaceName;
use twin_ops::value::{Fields, Value};

use crate::error::{Error, Result};
use crate::roots;
use crate::space::Collection;
use crate::twin::Twin;

const PERSONAS: &str = "personas";
const ALGORITHM: &str = "algorithm";
const GENERATION: &str = "generation";
const PERSONA: &str = "persona";
const SITE: &str = "site";
const PAGE: usize = 1000;

/// A persona at a site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// The site, as it was proven (a site id).
    pub site: String,
    /// Which persona; the first is 0.
    pub persona: u32,
    /// The generation of its pseudonym.
    pub generation: u32,
    /// Whether the words have been replaced since: who has the old ones can sign in as this persona, too.
    pub to_move: bool,
}

impl Twin {
    /// The sites that the person has signed in to, those to be moved first. Only devices that may replace the phone see
    /// them.
    pub fn sites(&self) -> Result<Vec<Site>> {
        if !self.is_admin() {
            return Err(Error::NotAdmin);
        }
        let newest = self.vault().identity().generation();
        let records = self.personas().list_all(PAGE)?;
        let mut sites: Vec<Site> = records
            .iter()
            .map(|record| {
                let generation = number(&record.fields, GENERATION);
                Site {
                    site: text(&record.fields, SITE),
                    persona: number(&record.fields, PERSONA),
                    generation,
                    to_move: generation < newest,
                }
            })
            .collect();
        sites.sort_by_key(|site| (!site.to_move, site.site.clone(), site.persona));
        Ok(sites)
    }

    /// The person is about to move at a site: the next login there is under the newest generation's pseudonym, which
    /// the site does not know yet.
    ///
    /// # Errors
    /// [`Error::MovedAlready`] if the person goes by the newest pseudonym there.
    pub fn move_site(&self, site: &str, persona: u32) -> Result<()> {
        let id = record_id(site, persona);
        let newest = self.vault().identity().generation();
        if !self.is_admin() {
            return Err(Error::NotAdmin);
        }
        let Some(known) = self.personas().get(&id)? else {
            return Err(Error::NoSuchSite);
        };
        if number(&known.fields, GENERATION) >= newest {
            return Err(Error::MovedAlready);
        }
        let fields = [(GENERATION.to_owned(), Value::Int(newest.into()))];
        self.personas().patch(&id, Fields(fields.into()))
    }

    /// The key that only this site sees. Its kind and generation are chosen at the first login and then kept, because
    /// another would be another person to the site.
    pub(crate) fn persona(
        &self,
        site: &SiteId,
        persona: u32,
        algorithms: &[Algorithm],
    ) -> Result<PersonaKey> {
        let id = record_id(&site.to_string(), persona);
        let record = self.personas().get(&id)?;
        let known = record.and_then(|record| {
            let algorithm = text(&record.fields, ALGORITHM);
            let algorithm = [Algorithm::Ed25519, Algorithm::P256]
                .into_iter()
                .find(|known| name(*known) == algorithm)?;
            Some((algorithm, number(&record.fields, GENERATION)))
        });
        let (algorithm, generation) = match known {
            Some(known) => known,
            None => {
                let algorithm = algorithms.first().copied().unwrap_or(Algorithm::Ed25519);
                let generation = self.vault().identity().generation();
                let fields = [
                    (ALGORITHM, name(algorithm).into()),
                    (GENERATION, Value::Int(generation.into())),
                    (PERSONA, Value::Int(persona.into())),
                    (SITE, site.to_string().as_str().into()),
                ];
                let fields = fields.map(|(name, value)| (name.to_owned(), value));
                self.personas().put(&id, Fields(fields.into()))?;
                (algorithm, generation)
            }
        };
        let root = roots::pseudonyms(self, generation)?;
        Ok(root.persona(site, generation, persona, algorithm))
    }

    fn personas(&self) -> Collection {
        self.collection_of(SpaceName::keys(), PERSONAS)
    }
}

/// Site ids can be longer than record ids, so the record goes by the hash.
fn record_id(site: &str, persona: u32) -> String {
    let hash = context::PERSONA.hash([persona.to_be_bytes().as_slice(), site.as_bytes()]);
    HEXLOWER.encode(&hash)
}

fn text(fields: &Fields, name: &str) -> String {
    match fields.0.get(name) {
        Some(Value::Text(text)) => text.clone(),
        _ => String::new(),
    }
}

fn number(fields: &Fields, name: &str) -> u32 {
    match fields.0.get(name) {
        Some(Value::Int(number)) => u32::try_from(*number).unwrap_or(0),
        _ => 0,
    }
}

const fn name(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::Ed25519 => "ed25519",
        Algorithm::P256 => "p256",
    }
}
