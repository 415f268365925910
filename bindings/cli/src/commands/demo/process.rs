//! A running command: what it prints is read line by line, and it ends with the demonstration.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value as Json;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use crate::error::{CliError, Result};

/// How long any one thing may take before the demonstration gives up.
const PATIENCE: Duration = Duration::from_secs(30);

/// A command of ours, run as a process of its own with `--json`.
pub struct Process {
    who: &'static str,
    child: Child,
    input: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Process {
    /// Starts `twin ARGS --json`.
    pub fn start(
        program: &PathBuf,
        who: &'static str,
        args: &[String],
        password: &str,
    ) -> Result<Self> {
        let mut child = Command::new(program)
            .args(args)
            .arg("--json")
            .env("TWIN_PASSWORD", password)
            .env_remove("TWIN_HOME")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| CliError::Demo(format!("{who} could not be started: {error}")))?;
        let input = child.stdin.take();
        let output = child.stdout.take();
        let output = output.ok_or_else(|| CliError::Demo(format!("{who} says nothing")))?;
        Ok(Self {
            who,
            child,
            input,
            lines: BufReader::new(output).lines(),
        })
    }

    /// The next line that it prints; a process that ends first makes the demonstration fail.
    async fn line(&mut self, wanted: &str) -> Result<Json> {
        let late = || {
            CliError::Demo(format!(
                "{} did not get as far as “{wanted}” in {} seconds",
                self.who,
                PATIENCE.as_secs()
            ))
        };
        let line = timeout(PATIENCE, self.lines.next_line())
            .await
            .map_err(|_| late())??;
        match line {
            Some(line) => serde_json::from_str(&line)
                .map_err(|_| CliError::Demo(format!("{} printed something odd: {line}", self.who))),
            None => Err(self.gone(wanted).await),
        }
    }

    /// Waits for an event of this name.
    pub async fn event(&mut self, wanted: &str) -> Result<Json> {
        loop {
            let json = self.line(wanted).await?;
            if json.get("event").and_then(Json::as_str) == Some(wanted) {
                return Ok(json);
            }
        }
    }

    /// Types a line.
    pub async fn type_line(&mut self, text: &str) -> Result<()> {
        let typed = match &mut self.input {
            Some(input) => input.write_all(format!("{text}\n").as_bytes()).await,
            None => Ok(()),
        };
        match typed {
            Ok(()) => Ok(()),
            Err(_) => Err(self.gone("typing").await),
        }
    }

    /// Waits for its only answer and its end.
    pub async fn answer(mut self) -> Result<Json> {
        let answer = self.line("its answer").await?;
        self.finish().await?;
        Ok(answer)
    }

    /// Waits for its end, which must be a good one.
    pub async fn finish(mut self) -> Result<()> {
        let status = timeout(PATIENCE, self.child.wait())
            .await
            .map_err(|_| CliError::Demo(format!("{} does not end", self.who)))??;
        if status.success() {
            Ok(())
        } else {
            Err(self.gone("its end").await)
        }
    }

    /// Asks it to stop, as Ctrl-C or a shutdown would, and waits for the event that it prints last.
    pub async fn stop(mut self, last: &str) -> Result<Json> {
        let pid = self.child.id().unwrap_or_default().to_string();
        let told = Command::new("kill").arg(pid).status().await;
        told.map_err(|error| {
            CliError::Demo(format!("{} could not be stopped: {error}", self.who))
        })?;
        let event = self.event(last).await?;
        self.finish().await?;
        Ok(event)
    }

    /// Fails if the process has ended although it should go on.
    pub fn check_alive(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => Err(CliError::Demo(format!(
                "{} has ended before its time ({status})",
                self.who
            ))),
        }
    }

    async fn gone(&mut self, wanted: &str) -> CliError {
        let mut said = String::new();
        if let Some(mut errors) = self.child.stderr.take() {
            // What a dying process still says is welcome; that it cannot be read is no second failure.
            let _ = timeout(PATIENCE, errors.read_to_string(&mut said)).await;
        }
        let said = said.trim().trim_start_matches("twin: ");
        let why = if said.is_empty() {
            "it was killed or crashed"
        } else {
            said
        };
        CliError::Demo(format!("{} ended before “{wanted}”: {why}", self.who))
    }
}
