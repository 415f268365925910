//! Numbers, their goals, and how they are shown and written down.

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
    /// The value must stay below this, if there is a goal.
    pub below: Option<f64>,
}

impl Measure {
    /// Whether the goal was met; none where there is no goal.
    pub fn met(&self) -> Option<bool> {
        self.below.map(|goal| self.value < goal)
    }

    fn goal(&self) -> Option<String> {
        self.below.map(|goal| format!("< {goal}"))
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
    let middle = |measure: &Measure| {
        let same = runs
            .iter()
            .flatten()
            .filter(|other| other.name == measure.name);
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
    first.iter().map(middle).collect()
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

/// Whole numbers whole, others with one digit behind the point.
fn number(value: f64) -> String {
    if value.fract() == 0.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.1}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measure(value: f64, below: Option<f64>) -> Measure {
        Measure {
            name: "total".into(),
            value,
            unit: "ms",
            below,
        }
    }

    #[test]
    fn the_middle_run_counts() {
        let runs = [5.0, 1.0, 3.0].map(|value| vec![measure(value, None)]);
        assert_eq!(
            median(&runs)
                .iter()
                .map(|measure| measure.value)
                .collect::<Vec<_>>(),
            [3.0]
        );
    }

    #[test]
    fn a_goal_is_met_below_it_only() {
        assert_eq!(measure(29.9, Some(30.0)).met(), Some(true));
        assert_eq!(measure(30.0, Some(30.0)).met(), Some(false));
        assert_eq!(measure(30.0, None).met(), None);
    }

    #[test]
    fn the_file_says_what_the_table_says() {
        let late = measure(31.5, Some(30.0));
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
