//! What people do when something is lost, one sentence each.

use super::acts::Linking;
use super::{Device, Finished, Program};

impl Device<'_> {
    /// Makes a twin here; its 24 words.
    pub fn create_with_words(&self, name: &str) -> String {
        let made = self.run(["create", "--name", name, "--json"]).json();
        made["words"].as_str().unwrap().to_owned()
    }

    /// Runs `twin WORDS…` and types these lines.
    pub fn try_typing<'w>(
        &self,
        words: impl IntoIterator<Item = &'w str>,
        lines: &[&str],
    ) -> Finished {
        let mut program = self.start(words);
        for line in lines {
            program.type_line(line);
        }
        program.finish()
    }

    /// Starts `twin recover` on this empty device, up to where what is needed is typed.
    pub fn start_recovery(&self, name: &str, more: &[&str]) -> Program {
        let picture = self.picture();
        let begin = ["recover", "--device", name, "--qr", &picture];
        self.start([&begin, more].concat())
    }

    /// Scans the code that `new` shows with a device that is still in, up to the six digits.
    pub fn meet_helper(&self, new: Program, helper: &Device<'_>) -> Linking {
        new.expect("or as text: ");
        let phone = helper.start(["recovery", "help", &self.picture()]);
        phone.expect("Type the six digits");
        new.expect("Type this code there:  ");
        let code = new.line();
        Linking { new, phone, code }
    }

    /// Gets the twin back on this empty device by its words, with the help of another.
    pub fn recover(&self, helper: &Device<'_>, name: &str, words: &str) -> Finished {
        let mut new = self.start_recovery(name, &[]);
        new.type_line(words);
        self.meet_helper(new, helper).to_the_end()
    }

    /// This device and another meet until both hold the same: `online` runs, this one calls.
    pub fn meet(&self, other: &Device<'_>) {
        let (_online, address) = other.go_online(["--no-discovery"]);
        self.run(["sync", "--once", "--no-discovery", "--peer", &address]);
    }

    /// Calls another device, whatever comes of it.
    pub fn try_meeting(&self, other: &Device<'_>) -> Finished {
        let (_online, address) = other.go_online(["--no-discovery"]);
        let sync = [
            "sync",
            "--once",
            "--no-discovery",
            "--wait",
            "5",
            "--peer",
            &address,
        ];
        self.try_run(sync)
    }

    /// What `twin status` says, as JSON.
    pub fn status(&self) -> serde_json::Value {
        self.run(["status", "--json"]).json()
    }

    /// The names of the devices that this one knows, in their order, with their states.
    pub fn known(&self) -> Vec<(String, String)> {
        let devices = self.run(["device", "list", "--json"]).json();
        let devices = devices.as_array().unwrap().iter();
        let text = |device: &serde_json::Value, key: &str| device[key].as_str().unwrap().to_owned();
        let mut known: Vec<_> = devices
            .map(|device| (text(device, "name"), text(device, "state")))
            .collect();
        known.sort();
        known
    }

    /// The names of the devices that take part, in their order.
    pub fn active(&self) -> Vec<String> {
        let active = self.known().into_iter();
        let active = active.filter(|(_, state)| state == "active");
        active.map(|(name, _)| name).collect()
    }
}

impl Linking {
    /// The person types what they see; what the new device printed.
    pub fn to_the_end(mut self) -> Finished {
        self.phone.type_line(&self.code);
        self.phone.finish().well();
        self.new.finish().well()
    }
}
