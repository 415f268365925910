//! A running program: on a terminal that is typed at, or between pipes.

use std::fs::File;
use std::io::Write;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

use super::transcript::Transcript;
use super::{PATIENCE, eventually};

/// A program that was started; killed when dropped.
pub struct Program {
    child: Child,
    keys: Keys,
    output: Transcript,
    /// Standard error; on a terminal it is part of the output.
    errors: Option<Transcript>,
    patience: Duration,
}

/// Where what is typed goes.
enum Keys {
    Terminal(File),
    Pipe(ChildStdin),
    Closed,
}

/// A program that has ended.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// Everything it printed; on a terminal also what it printed as errors.
    pub output: String,
    /// What it printed as errors, between pipes.
    pub errors: String,
}

impl Program {
    /// Starts `command` on a terminal of 80 columns and 50 lines: its own session, its controlling terminal, so that
    /// a password can be asked for.
    pub fn on_terminal(command: &Command) -> Self {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let terminal = openpt(flags).expect("a pseudo-terminal");
        grantpt(&terminal).unwrap();
        unlockpt(&terminal).unwrap();
        tcsetwinsize(
            &terminal,
            Winsize {
                ws_row: 50,
                ws_col: 80,
                ws_xpixel: 0,
                ws_ypixel: 0,
            },
        )
        .unwrap();
        let screen = File::from(ioctl_tiocgptpeer(&terminal, flags).unwrap());
        let mut command = in_session(command);
        command
            .env("TERM", "xterm")
            .stdin(screen.try_clone().unwrap());
        command.stdout(screen.try_clone().unwrap()).stderr(screen);
        let child = spawn(&mut command);
        // Our copies of the screen must close, or its end would never come.
        drop(command);
        let terminal = File::from(terminal);
        let output = Transcript::of(terminal.try_clone().unwrap());
        Self {
            child,
            keys: Keys::Terminal(terminal),
            output,
            errors: None,
            patience: PATIENCE,
        }
    }

    /// Starts `command` between pipes, as a script would.
    pub fn in_pipes(mut command: Command) -> Self {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = spawn(&mut command);
        let keys = Keys::Pipe(child.stdin.take().unwrap());
        let output = Transcript::of(child.stdout.take().unwrap());
        let errors = Transcript::of(child.stderr.take().unwrap());
        Self {
            child,
            keys,
            output,
            errors: Some(errors),
            patience: PATIENCE,
        }
    }

    /// Waits for `patience` from now on instead of `PATIENCE`.
    pub fn set_patience(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// Waits until the program has printed `text` after what was expected before; gives what led up to it.
    pub fn expect(&self, text: &str) -> String {
        self.output
            .expect(text, self.patience)
            .unwrap_or_else(|problem| panic!("{problem}\n{}", self.complaints()))
    }

    /// Whether the program prints `text` before patience is over.
    pub fn saw(&self, text: &str) -> bool {
        self.output.expect(text, self.patience).is_ok()
    }

    /// Waits until the program has printed `text` as an error.
    pub fn expect_error(&self, text: &str) -> String {
        let errors = self.errors.as_ref().unwrap_or(&self.output);
        errors
            .expect(text, self.patience)
            .unwrap_or_else(|problem| panic!("{problem}"))
    }

    /// Waits for the next whole line and gives it without its end.
    pub fn line(&self) -> String {
        self.expect("\n").trim_end().to_owned()
    }

    /// Waits until `text` asks for something secret: until the terminal does not show any more what is typed.
    pub fn expect_unseen(&self, text: &str) {
        self.expect(text);
        eventually("that typing is not shown", || {
            (!self.is_typing_shown()).then_some(())
        });
    }

    /// Whether its terminal shows what is typed.
    pub fn is_typing_shown(&self) -> bool {
        let Keys::Terminal(terminal) = &self.keys else {
            panic!("it has no terminal");
        };
        let modes = tcgetattr(terminal).unwrap().local_modes;
        modes.contains(LocalModes::ECHO)
    }

    /// Types `text` and the Enter key.
    pub fn type_line(&mut self, text: &str) {
        self.type_text(&format!("{text}\n"));
    }

    /// Types `text` as it is.
    pub fn type_text(&mut self, text: &str) {
        match &mut self.keys {
            Keys::Terminal(terminal) => terminal.write_all(text.as_bytes()).unwrap(),
            Keys::Pipe(pipe) => pipe
                .write_all(text.as_bytes())
                .and_then(|()| pipe.flush())
                .unwrap(),
            Keys::Closed => panic!("its standard input was closed before {text:?} could be typed"),
        }
    }

    /// Closes standard input (Ctrl-D on a terminal).
    pub fn close_input(&mut self) {
        if let Keys::Terminal(terminal) = &mut self.keys {
            terminal.write_all(&[4]).unwrap();
        } else {
            self.keys = Keys::Closed;
        }
    }

    /// The process id, the program's own.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to end, as a service manager does.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Presses Ctrl-C: on a terminal by the key, else by the signal that the key stands for.
    pub fn interrupt(&mut self) {
        match &mut self.keys {
            Keys::Terminal(terminal) => terminal.write_all(&[3]).unwrap(),
            _ => self.signal(Signal::INT),
        }
    }

    fn signal(&self, signal: Signal) {
        send(self.id(), signal);
    }

    /// Ends it at once (kill -9): it can save nothing.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Closes standard input and waits until the program has ended.
    pub fn finish(mut self) -> Finished {
        self.close_input();
        self.finish_by_itself()
    }

    /// Waits until nothing runs any more that could print.
    pub fn wait_for_end(&self) {
        assert!(
            self.output.end(self.patience),
            "it does not end: {}",
            self.text()
        );
    }

    /// Waits until the program has ended by itself, while it could still be typed at.
    pub fn finish_by_itself(mut self) -> Finished {
        let ended = self.output.end(self.patience);
        assert!(
            ended,
            "it does not end; so far it printed:\n{}\n{}",
            self.output.text(),
            self.complaints()
        );
        let status = eventually("the program's end", || self.child.try_wait().unwrap());
        let errors = self.errors.take().map(|errors| {
            errors.end(self.patience);
            errors.text()
        });
        Finished {
            status,
            output: self.output.text(),
            errors: errors.unwrap_or_default(),
        }
    }

    /// Everything printed so far.
    pub fn text(&self) -> String {
        self.output.text()
    }

    fn complaints(&self) -> String {
        self.errors
            .as_ref()
            .map_or_else(String::new, |errors| format!("errors: {}", errors.text()))
    }
}

impl Drop for Program {
    #[allow(clippy::print_stderr, reason = "a test's own output, kept with it")]
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let (said, complaints) = (self.text(), self.complaints());
            eprintln!("one of its programs had printed:\n{said}\n{complaints}");
        }
    }
}

impl Finished {
    /// The same, after making sure that it succeeded.
    pub fn well(self) -> Self {
        assert!(
            self.status.success(),
            "{}:\n{}\n{}",
            self.status,
            self.output,
            self.errors
        );
        self
    }

    /// The same, after making sure that it failed with one line of error.
    pub fn badly(self) -> Self {
        assert_eq!(
            self.status.code(),
            Some(1),
            "{}\n{}",
            self.output,
            self.errors
        );
        assert_eq!(
            self.errors.trim_end().lines().count(),
            1,
            "one clear sentence, not:\n{}",
            self.errors
        );
        self
    }

    /// The last line of output as JSON.
    pub fn json(&self) -> serde_json::Value {
        let line = self.output.trim_end().lines().last().unwrap_or_default();
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line:?}"))
    }
}

/// Ends a program that another has started (kill -9).
pub fn kill(id: u32) {
    send(id, Signal::KILL);
}

fn send(id: u32, signal: Signal) {
    let id = i32::try_from(id).ok().and_then(Pid::from_raw);
    kill_process(id.unwrap(), signal).unwrap();
}

fn spawn(command: &mut Command) -> Child {
    command
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?} does not start: {error}"))
}

/// `command` as the leader of a session with its standard input as controlling terminal.
fn in_session(command: &Command) -> Command {
    let mut setsid = Command::new("setsid");
    setsid
        .arg("--ctty")
        .arg(command.get_program())
        .args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => setsid.env(name, value),
            None => setsid.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        setsid.current_dir(folder);
    }
    setsid
}
