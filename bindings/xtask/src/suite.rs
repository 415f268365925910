//! The suites that `cargo xtask test` runs, as a table. A new suite is a new row.

use crate::deny;
use crate::tally::Count;
use crate::tool::{self, Tool};

/// A group of tests with one runner.
pub struct Suite {
    /// What the person types to run only this one.
    pub name: &'static str,
    /// What must be on the machine first.
    pub needs: &'static [Tool],
    /// Commands run one after the other; the first that fails ends the suite.
    pub steps: &'static [Step],
}

/// One command. `{root}`, `{target}`, `{cache}` and `{chromium}` stand for paths, in `program`, `args` and `env`.
pub struct Step {
    /// The program; `cargo` is the one that started us.
    pub program: &'static str,
    /// Its arguments.
    pub args: &'static [&'static str],
    /// The folder it runs in, below the root.
    pub folder: &'static str,
    /// Variables set for it.
    pub env: &'static [(&'static str, &'static str)],
    /// How its output is counted.
    pub count: Count,
}

/// The `twin` command that the end-to-end suites drive.
const TWIN: (&str, &str) = ("TWIN_BIN", "{target}/debug/twin");
/// With the tests that drive it, whose features are those of all: by itself it would be built a second time.
const BUILD_TWIN: Step = Step {
    args: &[
        "build",
        "--locked",
        "--workspace",
        "--features",
        "twin-tests/e2e",
        "--bin",
        "twin",
        "--test",
        "e2e",
    ],
    count: Count::Nothing,
    ..CARGO
};

/// The test build, in a folder of its own: other flags would build everything anew each time.
const BREAK_FLAGS: (&str, &str) = ("RUSTFLAGS", "--cfg twin_break");
const BREAK_TARGET: (&str, &str) = ("CARGO_TARGET_DIR", "{target}/break");
const BREAKABLE: &[(&str, &str)] = &[BREAK_FLAGS, BREAK_TARGET];
/// The same, with nothing sealed.
const UNSEALED: &[(&str, &str)] = &[BREAK_FLAGS, BREAK_TARGET, ("TWIN_BREAK", "sealing_off")];

const CARGO: Step = Step {
    program: "cargo",
    args: &[],
    folder: "",
    env: &[],
    count: Count::Cargo,
};

/// Every suite, in the order they run.
pub const SUITES: &[Suite] = &[
    // Unit, property, documentation and integration tests of all rooms.
    Suite {
        name: "rust",
        needs: &[],
        steps: &[Step {
            // All of them, whichever fails.
            args: &["test", "--locked", "--workspace", "--no-fail-fast"],
            ..CARGO
        }],
    },
    // The test build in which rules can be broken, one at a time: the simulations must notice each, and a vault that
    // seals nothing must show the words that a sealed one hides.
    Suite {
        name: "broken",
        needs: &[],
        steps: &[
            Step {
                args: &[
                    "test",
                    "--locked",
                    "--package",
                    "twin-tests",
                    "--test",
                    "broken",
                    "--test",
                    "afar",
                ],
                env: BREAKABLE,
                ..CARGO
            },
            Step {
                args: &[
                    "test",
                    "--locked",
                    "--package",
                    "twin-vault",
                    "--test",
                    "canary",
                ],
                env: UNSEALED,
                ..CARGO
            },
        ],
    },
    // The built `twin` command, used as a person would, on devices of their own joined by a virtual cable.
    Suite {
        name: "e2e",
        needs: &[
            tool::IP,
            tool::NFT,
            tool::UNSHARE,
            tool::DBUS,
            tool::KEYRING,
        ],
        steps: &[
            BUILD_TWIN,
            Step {
                args: &[
                    "test",
                    "--locked",
                    "--workspace",
                    "--features",
                    "twin-tests/e2e",
                    "--test",
                    "e2e",
                ],
                env: &[TWIN],
                ..CARGO
            },
        ],
    },
    // The page of a site in a real browser.
    Suite {
        name: "browser",
        needs: &[tool::NODE, tool::NPM, tool::CHROMIUM],
        steps: &[
            BUILD_TWIN,
            Step {
                program: "npm",
                args: &["ci", "--no-audit", "--no-fund"],
                folder: "tests/browser",
                env: &[],
                count: Count::Nothing,
            },
            Step {
                program: "node",
                args: &["--test", "--test-reporter=spec"],
                folder: "tests/browser",
                env: &[TWIN, ("TWIN_CHROMIUM", "{chromium}")],
                count: Count::Node,
            },
        ],
    },
    // Licences, banned crates and sources of what we depend on.
    Suite {
        name: "deny",
        needs: &[Tool::CargoDeny],
        steps: &[Step {
            program: deny::PROGRAM,
            args: deny::CHECK,
            count: Count::Deny,
            ..CARGO
        }],
    },
    // Known security holes in what we depend on.
    Suite {
        name: "advisories",
        needs: &[Tool::CargoDeny, Tool::AdvisoryDb],
        steps: &[Step {
            program: deny::PROGRAM,
            args: &["--locked", "check", "advisories"],
            count: Count::Deny,
            ..CARGO
        }],
    },
];

/// The names of all suites.
pub fn names() -> Vec<&'static str> {
    SUITES.iter().map(|suite| suite.name).collect()
}
