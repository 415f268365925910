//! `twin slots`, `twin slots add | remove`

use serde_json::json;
use twin::{KeyStore, SlotKind, Unlock};

use crate::args::{AddSlot, Slots, SlotsCommand};
use crate::commands::activity::time;
use crate::commands::record::printable;
use crate::error::Result;
use crate::keyring::Keyring;
use crate::output::{Context, table};
use crate::password;

pub fn run(cx: &Context, options: &Slots) -> Result<()> {
    match &options.command {
        None => list(cx),
        Some(SlotsCommand::Add(options)) => add(cx, options),
        Some(SlotsCommand::Remove { slot }) => remove(cx, *slot),
    }
}

fn list(cx: &Context) -> Result<()> {
    let slots = cx.open()?.slots()?;
    let list: Vec<_> = slots
        .iter()
        .map(|slot| {
            json!({
                "slot": slot.number,
                "kind": slot.kind.map(|kind| match kind {
                    SlotKind::Password => "password",
                    SlotKind::KeyStore => "key_store",
                    SlotKind::Both => "password_and_key_store",
                }),
                "label": slot.label,
                "added": slot.added,
                "this": slot.is_this,
            })
        })
        .collect();
    cx.event(json!(list));
    let rows: Vec<Vec<String>> = slots
        .iter()
        .map(|slot| {
            let this = if slot.is_this { "used now" } else { "" };
            vec![
                slot.number.to_string(),
                match slot.kind {
                    Some(SlotKind::Password) => "password",
                    Some(SlotKind::KeyStore) => "keyring",
                    Some(SlotKind::Both) => "password and keyring",
                    None => "damaged: remove it",
                }
                .to_owned(),
                slot.added
                    .map_or_else(|| "from the beginning".to_owned(), time),
                this.to_owned(),
                printable(&slot.label),
            ]
        })
        .collect();
    cx.say(table(&rows).trim_end());
    Ok(())
}

fn add(cx: &Context, options: &AddSlot) -> Result<()> {
    let slot = if options.keyring && !options.password {
        // Before a password is asked for in vain.
        let keyring = Keyring::find()?;
        let twin = cx.open_by_password()?;
        twin.add_slot(Unlock::KeyStore(&keyring), &options.label)?
    } else {
        // With --keyring too, that is what opens it.
        let twin = cx.open()?;
        let password = password::choose_another()?;
        twin.add_slot(Unlock::Password(&password), &options.label)?
    };
    cx.event(json!({"slot": slot}));
    cx.say(format!("Slot {slot} unlocks this device too."));
    Ok(())
}

fn remove(cx: &Context, slot: u32) -> Result<()> {
    let twin = cx.open()?;
    let is_keyring =
        |slot: &twin::SlotInfo| matches!(slot.kind, Some(SlotKind::KeyStore | SlotKind::Both));
    let slots = twin.slots()?;
    let removed = slots.iter().find(|there| there.number == slot);
    // What it keeps for the slot should go too, but a keyring that is not there keeps no slot alive.
    let keyring = match removed.filter(|slot| is_keyring(slot)) {
        Some(_) => Keyring::find().ok(),
        None => None,
    };
    let key_store = keyring.as_ref().map(|keyring| keyring as &dyn KeyStore);
    twin.remove_slot(slot, key_store)?;
    cx.event(json!({"removed": slot}));
    cx.say(format!(
        "Slot {slot} is gone: what it was opens nothing here any more."
    ));
    Ok(())
}
