//! `twin password`

use serde_json::json;
use twin::Unlock;

use crate::error::Result;
use crate::output::Context;
use crate::password;

/// Changes the password that was given: of several, that one.
pub fn change(cx: &Context) -> Result<()> {
    let twin = cx.open_by_password()?;
    let slot = twin.slot();
    let password = password::choose_another()?;
    twin.change_slot(slot, Unlock::Password(&password))?;
    cx.event(json!({"slot": slot}));
    cx.say("The password is changed: the old one opens nothing here any more.");
    Ok(())
}
