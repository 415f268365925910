//! Numbers, their goals, and how they are shown and written down.

use std::fmt;
use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::failure::{Context, Result};
use crate::project::Project;

/// One number.
#[derive(Clone, Debug)]
pub struct Measure {
    /// What was measured.
    pub name: String,
    /// How much it was, in `unit`.
    pub value: f64,
    /// What `value` counts: ms, bytes, …
    pub unit: &'static str,
    /// What the value must be, if there is a goal.
    pub goal: Option<Goal>,
}

/// What a number must be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Goal {
    /// Below this.
    Below(f64),
    /// This or less.
    AtMost(f64),
    /// This or more.
    AtLeast(f64),
}

impl Goal {
    fn is_met(self, value: f64) -> bool {
        match self {
            Self::Below(goal) => value < goal,
            Self::AtMost(goal) => value <= goal,
            Self::AtLeast(goal) => value >= goal,
        }
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Below(goal) => write!(f, "< {goal}"),
            Self::AtMost(goal) => write!(f, "<= {goal}"),
            Self::AtLeast(goal) => write!(f, ">= {goal}"),
        }
    }
}

impl Measure {
    /// Whether the goal was met; none where there is no goal.
    pub fn met(&self) -> Option<bool> {
        self.goal.map(|goal| goal.is_met(self.value))
    }

    fn goal(&self) -> Option<String> {
        self.goal.map(|goal| goal.to_string())
    }

    fn json(&self) -> Value {
        json!({"name": self.name, "value": self.value, "unit": self.unit, "goal": self.goal(), "met": self.met()})
    }
}

/// The middle of several runs, measure by measure; every run gives the same measures in the same order.
pub fn median(runs: &[Vec<Measure>]) -> Vec<Measure> {
    let Some(first) = runs.first() else {
        return Vec::new();
    };
    // By place: several may have the same name, each below what it is said of.
    let middle = |(place, measure): (usize, &Measure)| {
        let same = runs.iter().filter_map(|run| run.get(place));
        let mut values: Vec<f64> = same.map(|other| other.value).collect();
        values.sort_by(f64::total_cmp);
        Measure {
            value: values
                .get(values.len() / 2)
                .copied()
                .unwrap_or(measure.value),
            ..measure.clone()
        }
    };
    first.iter().enumerate().map(middle).collect()
}

/// Columns: what, value, unit, goal, met.
pub fn table(measures: &[Measure]) -> String {
    let header = ["what", "value", "unit", "goal", "met"].map(String::from);
    let rows = measures.iter().map(|measure| {
        let met = measure
            .met()
            .map_or("-", |met| if met { "yes" } else { "NO" });
        let goal = measure.goal().unwrap_or_else(|| "-".into());
        [
            measure.name.clone(),
            number(measure.value),
            measure.unit.into(),
            goal,
            met.into(),
        ]
    });
    let rows: Vec<[String; 5]> = std::iter::once(header).chain(rows).collect();
    let widest = |pick: fn(&[String; 5]) -> &String| {
        rows.iter()
            .map(|row| pick(row).chars().count())
            .max()
            .unwrap_or(0)
    };
    let (what, value) = (widest(|[what, ..]| what), widest(|[_, value, ..]| value));
    let (unit, goal) = (
        widest(|[_, _, unit, ..]| unit),
        widest(|[_, _, _, goal, _]| goal),
    );
    let line = |[a, b, c, d, e]: &[String; 5]| {
        format!("{a:<what$}  {b:>value$}  {c:<unit$}  {d:<goal$}  {e}")
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Writes `target/bench/NAME.json` in the checkout, wherever builds go.
pub fn write(project: &Project, name: &str, measures: &[Measure]) -> Result<PathBuf> {
    let folder = project.root.join("target/bench");
    let file = folder.join(format!("{name}.json"));
    let list = Value::Array(measures.iter().map(Measure::json).collect());
    fs::create_dir_all(&folder).could_not(format!("make the folder {}", folder.display()))?;
    fs::write(&file, format!("{list:#}\n")).could_not(format!("write {}", file.display()))?;
    Ok(file)
}

/// Whole numbers whole, small ones with two digits behind the point, others with one.
fn number(value: f64) -> String {
    if value.fract() == 0.0 {
        format!("{value:.0}")
    } else if value < 10.0 {
        format!("{value:.2}")
    } else {
        format!("{value:.1}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measure(value: f64, goal: Option<Goal>) -> Measure {
        Measure {
            name: "total".into(),
            value,
            unit: "ms",
            goal,
        }
    }

    #[test]
    fn the_middle_run_counts() {
        // Two of the same name are two.
        let runs = [5.0, 1.0, 3.0].map(|value| vec![measure(value, None), measure(-value, None)]);
        let middle = median(&runs);
        let values: Vec<f64> = middle.iter().map(|measure| measure.value).collect();
        assert_eq!(values, [3.0, -3.0]);
    }

    #[test]
    fn a_goal_is_met_on_its_own_side_only() {
        let met = |value, goal| measure(value, Some(goal)).met();
        assert_eq!(met(29.9, Goal::Below(30.0)), Some(true));
        assert_eq!(met(30.0, Goal::Below(30.0)), Some(false));
        assert_eq!(met(1.25, Goal::AtMost(1.25)), Some(true));
        assert_eq!(met(1.26, Goal::AtMost(1.25)), Some(false));
        assert_eq!(met(1.3, Goal::AtLeast(1.3)), Some(true));
        assert_eq!(met(1.29, Goal::AtLeast(1.3)), Some(false));
        assert_eq!(measure(30.0, None).met(), None);
    }

    #[test]
    fn the_file_says_what_the_table_says() {
        let late = measure(31.5, Some(Goal::Below(30.0)));
        assert_eq!(
            late.json(),
            json!({"name": "total", "value": 31.5, "unit": "ms", "goal": "< 30", "met": false})
        );
        assert_eq!(
            table(&[late, measure(7.0, None)]),
            "what   value  unit  goal  met\ntotal   31.5  ms    < 30  NO\ntotal      7  ms    -     -"
        );
    }
}
