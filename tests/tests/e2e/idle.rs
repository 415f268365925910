//! What two devices say to each other while they have nothing to say, and how often that wakes them.

use std::collections::BTreeMap;
use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use twin_tests::e2e::{Device, Kind, Lan, Packet, Program, Tap, eventually, kinds};

use crate::complaints::settle;

pub const TAP: &str = env!("CARGO_BIN_EXE_tap");
pub const DOZE: &str = env!("CARGO_BIN_EXE_doze");

/// The budget: packets a minute, of everything that a device's network card sends and receives, and wake-ups.
const BUDGET: usize = 10;
/// Ten minutes would show the same.
const MINUTES: usize = 3;

/// How often each thread of a program was given the processor after it had waited.
fn wakeups(program: &Program) -> BTreeMap<String, u64> {
    let mut all = BTreeMap::new();
    for task in fs::read_dir(format!("/proc/{}/task", program.id())).unwrap() {
        let task = task.unwrap().path();
        let status = fs::read_to_string(task.join("status")).unwrap_or_default();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap_or_default().trim().to_owned()
        };
        let waits = field("voluntary_ctxt_switches:").parse().unwrap_or(0);
        let thread = format!("{} {}", field("Name:"), field("Pid:"));
        all.insert(thread, waits);
    }
    all
}

fn since(before: &BTreeMap<String, u64>, now: BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    let more = |(thread, waits): (String, u64)| {
        let more = waits - before.get(&thread).copied().unwrap_or(0);
        (more > 0).then_some((thread, more))
    };
    now.into_iter().filter_map(more).collect()
}

/// There is no router here, and the system goes on asking for one, ever more rarely: where there is one, it answers the
/// first question.
fn needs_no_router(device: &Device<'_>) {
    let mut command = device.other("sh");
    let setting = "/proc/sys/net/ipv6/conf/eth0/router_solicitations";
    command.args(["-c", &format!("echo 0 >{setting}")]);
    assert!(command.status().unwrap().success());
}

/// A phone and a laptop of one twin.
fn pair(lan: &Lan) -> (Device<'_>, Device<'_>) {
    let phone = Device::new(lan, "phone");
    settle(&phone, "Ada");
    let laptop = Device::new(lan, "laptop");
    laptop.link(&phone, "laptop", "companion");
    for device in [&phone, &laptop] {
        needs_no_router(device);
    }
    (phone, laptop)
}

/// Waits until what follows a meeting, and what the system itself says on a new network, has died away.
fn settled(tap: &Tap) -> usize {
    let (mut before, mut quiet) = (0, Instant::now());
    eventually("ten seconds of silence", || {
        let now = tap.packets().len();
        if now != before {
            (before, quiet) = (now, Instant::now());
        }
        (quiet.elapsed() > Duration::from_secs(10)).then_some(())
    });
    before
}

#[test]
fn two_idle_devices_send_next_to_nothing() {
    let lan = Lan::new();
    let (phone, laptop) = pair(&lan);
    let (online, _) = phone.go_online([]);
    let (other, _) = laptop.go_online([]);
    online.expect("laptop and this device hold the same");
    other.expect("phone and this device hold the same");
    let tap = Tap::on(laptop.namespace(), TAP);
    let before = settled(&tap);
    let (phone_woke, laptop_woke) = (wakeups(&online), wakeups(&other));
    // Only the time that is measured is waited for.
    sleep(Duration::from_secs(60) * MINUTES as u32);
    let packets = tap.packets().split_off(before);
    let told = |packets: &[Packet]| format!("{:?}", kinds(packets));
    let woke = [
        since(&phone_woke, wakeups(&online)),
        since(&laptop_woke, wakeups(&other)),
    ];
    println!("in {MINUTES} minutes {}; woken: {woke:?}", told(&packets));
    assert!(packets.len() <= BUDGET * MINUTES, "{}", told(&packets));
    for woke in woke {
        // On a busy machine a thread waits for others, too: the budget itself is for a quiet one, and is printed above.
        let times: u64 = woke.values().sum();
        assert!(times <= 2 * (BUDGET * MINUTES) as u64, "{woke:?}");
    }
    let spoken = kinds(&packets);
    assert!(
        spoken.contains_key(&Kind::Tcp) || spoken.contains_key(&Kind::Udp),
        "a dead link would not be noticed"
    );
    online.terminate();
    other.terminate();
}

/// How long a device in the background is looked at.
const ASLEEP: Duration = Duration::from_secs(60);

#[test]
fn a_suspended_device_sends_nothing_and_does_nothing() {
    let lan = Lan::new();
    let (phone, laptop) = pair(&lan);
    let (online, _) = laptop.go_online([]);
    let mut command = phone.other(DOZE);
    command.env("TWIN_HOME", phone.home());
    command.env("TWIN_PASSWORD", phone.password());
    let mut app = Program::in_pipes(command);
    app.expect("held\n");
    app.type_line("suspend");
    app.expect("asleep\n");
    online.expect("phone is gone");
    laptop.run(["put", "home/notes/meanwhile", "word=new"]);
    // What the phone's system answers to calls is not the app's: nobody calls.
    online.terminate();
    online.finish().well();
    let tap = Tap::on(phone.namespace(), TAP);
    let before = settled(&tap);
    let woke = wakeups(&app);
    sleep(ASLEEP);
    let packets = tap.packets().split_off(before);
    assert!(packets.is_empty(), "{:?}", kinds(&packets));
    let woke = since(&woke, wakeups(&app));
    println!("asleep, woken: {woke:?}");
    // Timers that were set before it was suspended ring once, and find nothing to do; none is set again.
    assert!(woke.values().sum::<u64>() <= 4, "{woke:?}");

    app.type_line("resume");
    app.expect("awake\n");
    let (_online, _) = laptop.go_online([]);
    app.expect("held\n");
    assert!(!tap.packets().is_empty());
    drop(app);
    assert_eq!(phone.fields("home/notes/meanwhile")["word"], "new");
}
