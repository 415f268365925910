//! What still works when something is lost, and what to do: true for the devices that there are.

use twin::{DeviceInfo, DeviceState, Role, Standing};

use crate::commands::device::name;

/// What to do where no device is left.
const FROM_BACKUP: &str = "with a backup: twin recover --backup FILE";
/// What to do before that happens.
const PREPARE: &str =
    "better make one now (twin export FILE), or link a second device (twin link accept)";

/// What to do if one thing is lost, or two at once.
pub struct Advice {
    /// What is lost.
    pub lost: &'static str,
    /// What still works.
    pub still: String,
    /// What to do.
    pub remedy: String,
}

/// The devices that take part, as far as advice needs them.
struct Devices {
    phones: Vec<String>,
    companions: Vec<String>,
}

/// Advice for each loss that could happen to this twin.
pub fn all(devices: &[DeviceInfo], standing: &Standing) -> Vec<Advice> {
    let active = |role: Role| -> Vec<String> {
        let active = devices
            .iter()
            .filter(|device| device.state == DeviceState::Active && device.role == role);
        active.map(name).collect()
    };
    let devices = Devices {
        phones: active(Role::Admin),
        companions: active(Role::Member),
    };
    let mut all = vec![devices.phone(standing)];
    all.extend(devices.companion());
    all.push(words(standing));
    all.push(words_read());
    all.push(devices.password());
    all.push(devices.phone_and_words(standing));
    all.extend(devices.phone_and_another());
    all.extend(devices.phone_and_password());
    all.push(devices.everything(standing));
    all
}

impl Devices {
    fn phone(&self, standing: &Standing) -> Advice {
        let (still, remedy) = match (self.phones.as_slice(), self.companions.as_slice()) {
            ([_, _, ..], _) => (
                "another device can take its place at once".to_owned(),
                "twin device suspend OLD, then with your words twin device replace OLD".to_owned(),
            ),
            (_, [helper, ..]) => (
                format!("{helper} keeps your data and your twin"),
                format!(
                    "there: twin device replace OLD; or on a new phone: twin recover, helped by {helper}"
                ),
            ),
            (_, []) if standing.first_words => (
                "your words keep your id and your sign-ins; your data only in a backup".to_owned(),
                format!("{FROM_BACKUP}; without one twin recover --alone; {PREPARE}"),
            ),
            (_, []) => (
                "nothing but a backup: your words have replaced others".to_owned(),
                format!("{FROM_BACKUP}; {PREPARE}"),
            ),
        };
        Advice {
            lost: "the phone",
            still,
            remedy,
        }
    }

    fn companion(&self) -> Option<Advice> {
        let companion = self.companions.first()?;
        Some(Advice {
            lost: "a companion",
            still: "everything".to_owned(),
            remedy: format!("on the phone: twin device revoke {companion}"),
        })
    }

    fn password(&self) -> Advice {
        let others = self.phones.len() + self.companions.len() > 1;
        Advice {
            lost: "this device's password",
            still: if others {
                "your other devices, each by its own password"
            } else {
                "any other way to unlock this device"
            }
            .to_owned(),
            remedy: "unlock it in another way (twin slots), or treat it as lost".to_owned(),
        }
    }

    fn phone_and_words(&self, standing: &Standing) -> Advice {
        let guardians = standing.guardians.as_ref();
        let (still, remedy) = match (
            guardians,
            self.phones.as_slice(),
            self.companions.as_slice(),
        ) {
            (Some(guardians), [_, helper, ..], _) | (Some(guardians), _, [helper, ..]) => (
                format!("{helper} and your guardians"),
                format!(
                    "on a new phone: twin recover --guardians, helped by {helper}; it waits {} days",
                    guardians.delay_days
                ),
            ),
            (None, [_, _, ..], _) => (
                "another phone goes on, but the lost one can only be suspended".to_owned(),
                "name guardians while you have the words: twin recovery guardians set".to_owned(),
            ),
            (None, _, [helper, ..]) => (
                format!("the data on {helper}; nobody can be added or removed any more"),
                "name guardians while you have the words: twin recovery guardians set".to_owned(),
            ),
            (_, _, []) => (
                "nothing: even guardians need a device that is left, or a backup that they can open"
                    .to_owned(),
                "link a second device now: twin link accept".to_owned(),
            ),
        };
        Advice {
            lost: "the phone and the words",
            still,
            remedy,
        }
    }

    fn phone_and_another(&self) -> Option<Advice> {
        let mut left = self.phones.iter().skip(1).chain(&self.companions);
        left.next()?;
        let (still, remedy) = match left.next() {
            Some(helper) => (
                "the devices that are left",
                format!(
                    "with your words, on one that is left: twin device replace OLD OTHER; or on a new phone: twin recover, \
                     helped by one, such as {helper}"
                ),
            ),
            None => ("what all devices leave: see below", FROM_BACKUP.to_owned()),
        };
        Some(Advice {
            lost: "the phone and another device",
            still: still.to_owned(),
            remedy,
        })
    }

    fn phone_and_password(&self) -> Option<Advice> {
        let others = self.phones.len() + self.companions.len();
        (others == 2).then(|| Advice {
            lost: "the phone and the other device's password",
            still: "whatever else unlocks that device (twin slots)".to_owned(),
            remedy: "without it, as if all devices were lost".to_owned(),
        })
    }

    fn everything(&self, standing: &Standing) -> Advice {
        let (still, remedy) = if standing.first_words {
            (
                "your words keep your id and your sign-ins; your data only in a backup",
                format!("{FROM_BACKUP}; without one twin recover --alone"),
            )
        } else {
            (
                "nothing but a backup: your words have replaced others",
                format!("{FROM_BACKUP}; make one now: twin export FILE"),
            )
        };
        Advice {
            lost: "all devices",
            still: still.to_owned(),
            remedy,
        }
    }
}

fn words(standing: &Standing) -> Advice {
    let (still, remedy) = match &standing.guardians {
        Some(_) => (
            "everything, and your guardians can give you new words",
            "on a new phone: twin recover --guardians, helped by this device",
        ),
        None => (
            "everything, until a phone is lost, too; there is no other way to new words",
            "name guardians while you have the words: twin recovery guardians set",
        ),
    };
    Advice {
        lost: "the words",
        still: still.to_owned(),
        remedy: remedy.to_owned(),
    }
}

fn words_read() -> Advice {
    Advice {
        lost: "the words, to somebody who reads them",
        still: "everything, but so can whoever has read them, until they are replaced".to_owned(),
        remedy: "at once, on a phone: twin recovery rotate; then twin sync, and move at the sites that it lists"
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use twin::{DeviceId, GuardiansInfo};

    use super::*;

    fn device(name: &str, role: Role) -> DeviceInfo {
        DeviceInfo {
            id: DeviceId::from_bytes([7; 32]),
            name: name.to_owned(),
            role,
            state: DeviceState::Active,
            is_this: false,
        }
    }

    fn standing(guardians: bool, first_words: bool) -> Standing {
        Standing {
            this: Some(DeviceState::Active),
            admins: 1,
            contested: false,
            guardians: guardians.then_some(GuardiansInfo {
                delay_days: 7,
                hold_data: false,
            }),
            pending: Vec::new(),
            unheard: false,
            first_words,
            set_aside: Vec::new(),
            behind: Vec::new(),
            needs_update: false,
        }
    }

    fn remedy(devices: &[DeviceInfo], standing: &Standing, lost: &str) -> String {
        let advice = all(devices, standing);
        let found = advice.into_iter().find(|advice| advice.lost == lost);
        found.map_or_else(String::new, |advice| {
            format!("{}: {}", advice.still, advice.remedy)
        })
    }

    #[test]
    fn who_helps_is_who_is_left() {
        let phone = device("phone", Role::Admin);
        let laptop = device("laptop", Role::Member);
        let tablet = device("tablet", Role::Admin);
        let mut mislaid = device("watch", Role::Member);
        mislaid.state = DeviceState::Suspended;
        let plain = standing(false, true);
        let alone = [phone.clone(), mislaid];
        assert!(remedy(&alone, &plain, "the phone").contains("twin recover --alone"));
        assert_eq!(remedy(&alone, &plain, "a companion"), "");
        let with_laptop = [phone.clone(), laptop];
        let said = remedy(&with_laptop, &plain, "the phone");
        assert!(
            said.contains("helped by laptop") && said.contains("device replace"),
            "{said}"
        );
        assert!(remedy(&with_laptop, &plain, "a companion").contains("revoke laptop"));
        let with_tablet = [phone, tablet];
        assert!(remedy(&with_tablet, &plain, "the phone").contains("suspend OLD"));
        assert!(
            remedy(&with_tablet, &plain, "the phone and the words").contains("only be suspended")
        );
    }

    #[test]
    fn two_at_once_are_told_where_there_are_two() {
        let phone = device("phone", Role::Admin);
        let laptop = device("laptop", Role::Member);
        let tablet = device("tablet", Role::Member);
        let plain = standing(false, true);
        let (both, password) = (
            "the phone and another device",
            "the phone and the other device's password",
        );
        for lost in [both, password] {
            assert_eq!(remedy(std::slice::from_ref(&phone), &plain, lost), "");
        }
        let two = [phone.clone(), laptop.clone()];
        assert!(remedy(&two, &plain, both).contains("--backup FILE"));
        assert!(remedy(&two, &plain, password).contains("twin slots"));
        let three = [phone, laptop, tablet];
        assert!(remedy(&three, &plain, both).contains("device replace OLD OTHER"));
        assert_eq!(remedy(&three, &plain, password), "");
        let read = "the words, to somebody who reads them";
        assert!(remedy(&three, &plain, read).contains("recovery rotate"));
    }

    #[test]
    fn guardians_help_where_a_device_is_left() {
        let devices = [device("phone", Role::Admin), device("laptop", Role::Member)];
        let lost = "the phone and the words";
        assert!(remedy(&devices, &standing(true, true), lost).contains("waits 7 days"));
        assert!(remedy(&devices, &standing(false, true), lost).contains("guardians set"));
        assert!(remedy(&devices[..1], &standing(true, true), lost).starts_with("nothing"));
        assert!(remedy(&devices, &standing(true, true), "the words").contains("--guardians"));
    }

    #[test]
    fn words_that_replaced_others_are_not_enough_alone() {
        let devices = [device("phone", Role::Admin)];
        for lost in ["the phone", "all devices"] {
            assert!(remedy(&devices, &standing(false, true), lost).contains("--alone"));
            assert!(!remedy(&devices, &standing(false, false), lost).contains("--alone"));
            for first_words in [true, false] {
                let said = remedy(&devices, &standing(false, first_words), lost);
                assert!(
                    said.contains("--backup FILE")
                        && said.contains("only in a backup") == first_words,
                    "{said}"
                );
            }
        }
    }
}
