//! Where the demonstration takes place: its folder, what it prints, what it measures.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use super::process::Process;
use crate::error::{CliError, Result};
use crate::output::{Context, table};

/// The devices' passwords. Real ones are typed.
const PASSWORD: &str = "correct horse battery staple";

/// The scene.
pub struct Stage<'a> {
    cx: &'a Context,
    program: PathBuf,
    folder: PathBuf,
    keep: bool,
    begun: Instant,
    total: Option<Duration>,
    steps: Vec<(&'static str, Duration)>,
    traffic: Vec<(&'static str, u64, u64)>,
}

impl<'a> Stage<'a> {
    pub fn new(cx: &'a Context) -> Result<Self> {
        let program = std::env::current_exe()?;
        let folder = std::env::temp_dir().join(format!("twin-demo-{}", std::process::id()));
        std::fs::create_dir_all(&folder)
            .map_err(|error| CliError::Unwritable(folder.clone(), error.to_string()))?;
        Ok(Self {
            cx,
            program,
            folder,
            keep: false,
            begun: Instant::now(),
            total: None,
            steps: Vec::new(),
            traffic: Vec::new(),
        })
    }

    /// A path in the demonstration's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub const fn password(&self) -> &'static str {
        PASSWORD
    }

    /// Keeps the folder when the demonstration ends.
    pub fn keep(&mut self) {
        self.keep = true;
    }

    pub fn say(&self, text: impl AsRef<str>) {
        self.cx.say(text);
    }

    /// A new chapter.
    pub fn chapter(&self, title: &str, text: &str) {
        self.say(format!("\n── {title} ──\n{text}\n"));
    }

    /// Prints a command as a person would type it, and starts it for `who` ("phone", "laptop" or none).
    pub fn start(&self, who: &'static str, args: &[&str]) -> Result<Process> {
        let mut full = Vec::new();
        if matches!(who, "phone" | "laptop") {
            full.extend(["--home".to_owned(), self.path(who).display().to_string()]);
        }
        full.extend(args.iter().map(|arg| (*arg).to_owned()));
        let shown: Vec<String> = args.iter().map(|arg| self.shown(arg)).collect();
        self.say(format!("{who:>7} $ twin {}", shown.join(" ")));
        Process::start(&self.program, who, &full, PASSWORD)
    }

    /// Runs a command that answers once.
    pub async fn run(&self, who: &'static str, args: &[&str]) -> Result<Json> {
        self.start(who, args)?.answer().await
    }

    fn shown(&self, arg: &str) -> String {
        let short = arg.replace(&format!("{}/", self.folder.display()), "");
        let short: String = if short.len() > 60 {
            short.chars().take(40).chain("…".chars()).collect()
        } else {
            short
        };
        if short.contains(' ') {
            format!("'{short}'")
        } else {
            short
        }
    }

    /// A step has taken since `begun`.
    pub fn step(&mut self, name: &'static str, begun: Instant) {
        self.steps.push((name, begun.elapsed()));
    }

    /// A process has sent and received so many bytes, as its event says.
    pub fn sent(&mut self, process: &'static str, event: &Json) {
        let bytes = |name: &str| event.get(name).and_then(Json::as_u64).unwrap_or(0);
        self.traffic
            .push((process, bytes("sent"), bytes("received")));
    }

    /// The story has ended.
    pub fn end(&mut self) {
        self.total = Some(self.begun.elapsed());
    }

    pub fn total_ms(&self) -> u64 {
        ms(self.total.unwrap_or_else(|| self.begun.elapsed()))
    }

    pub fn steps(&self) -> Vec<Json> {
        let steps = self.steps.iter();
        steps
            .map(|(name, took)| json!({"name": name, "ms": ms(*took)}))
            .collect()
    }

    pub fn traffic(&self) -> Vec<Json> {
        self.traffic
            .iter()
            .map(|(process, sent, received)| {
                json!({"process": process, "sent": sent, "received": received})
            })
            .collect()
    }

    pub fn print_table(&self) {
        let mut rows = vec![vec!["what happened".to_owned(), "took".to_owned()]];
        for (name, took) in &self.steps {
            rows.push(vec![(*name).to_owned(), format!("{} ms", ms(*took))]);
        }
        rows.push(vec![
            "all of it".to_owned(),
            format!("{} ms", self.total_ms()),
        ]);
        let traffic: Vec<Vec<String>> = self
            .traffic
            .iter()
            .map(|(process, sent, received)| {
                vec![
                    (*process).to_owned(),
                    format!("{sent} bytes sent"),
                    format!("{received} received"),
                ]
            })
            .collect();
        self.say(format!("\n{}\n{}", table(&rows), table(&traffic)));
    }
}

impl Drop for Stage<'_> {
    fn drop(&mut self) {
        if !self.keep {
            // A folder in the system's own place for such things; what stays behind there is sealed.
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
