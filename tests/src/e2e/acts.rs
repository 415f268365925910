//! What people do with their devices, one sentence each.

use serde_json::Value as Json;

use super::{Device, Program};

/// `link offer` on a new device and `link accept` on an admin's, up to the code.
pub struct Linking {
    /// The new device: it shows the code and waits.
    pub new: Program,
    /// The phone: it waits for the code.
    pub phone: Program,
    /// The six digits on the new device's screen.
    pub code: String,
}

impl Device<'_> {
    /// Makes a twin here. Between pipes nobody is asked to repeat the words.
    pub fn create(&self, name: &str) {
        let made = self.run(["create", "--name", name]);
        assert!(made.output.contains("twin1"), "{}", made.output);
    }

    /// Shows a linking code on this new device, as text and as a picture beside its home.
    pub fn offer(&self, device_name: &str) -> (Program, String) {
        let picture = self.picture();
        let new = self.start(["link", "offer", "--device", device_name, "--qr", &picture]);
        new.expect("or as text: ");
        let text = new.line();
        (new, text)
    }

    /// Where [`Device::offer`] puts the picture of the code.
    pub fn picture(&self) -> String {
        self.file("link.png").display().to_string()
    }

    /// Shows a code on this new device, scans its picture with `phone`, agrees here, and reads the digits off the
    /// screen; nobody has typed them yet.
    pub fn begin_linking(&self, phone: &Device<'_>, name: &str, role: &str) -> Linking {
        self.begin_linking_with(phone, name, &["--role", role])
    }

    /// The same, with these options on the phone.
    pub fn begin_linking_with(&self, phone: &Device<'_>, name: &str, options: &[&str]) -> Linking {
        let (mut new, _) = self.offer(name);
        let picture = self.picture();
        let phone = phone.start([&["link", "accept", &picture], options].concat());
        phone.expect("Type the six digits");
        new.expect("Join the twin “");
        new.type_line("y");
        new.expect("Type this code on the phone:  ");
        let code = new.line();
        Linking { new, phone, code }
    }

    /// Links this new device through `phone`, to the end.
    pub fn link(&self, phone: &Device<'_>, name: &str, role: &str) {
        let mut linking = self.begin_linking(phone, name, role);
        linking.phone.type_line(&linking.code);
        linking.phone.finish().well();
        linking.new.finish().well();
    }

    /// The records of a collection, as JSON.
    pub fn list(&self, place: &str) -> Json {
        self.run(["list", place, "--json"]).json()
    }

    /// The fields of a record, as JSON.
    pub fn fields(&self, record: &str) -> Json {
        self.run(["get", record, "--json"]).json()["fields"].clone()
    }

    /// Goes online and waits until others can reach it; the port that it listens on.
    pub fn go_online<'w>(&self, words: impl IntoIterator<Item = &'w str>) -> (Program, String) {
        let online = self.start(["run"].into_iter().chain(words));
        online.expect(&format!("listening on {}:", self.address()));
        let port = online.line();
        let address = format!("{}:{port}", self.address());
        (online, address)
    }
}
