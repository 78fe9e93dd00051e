//! `weir plan`: what switches, kernels, clouds and other analysers must be told, as texts and as commands.
//!
//! Promises: nothing here runs anything; every value of the user has been checked (`value`), so that no text can
//! become another command; a plan says how to see that a step is there and how it is taken back; what a plan makes
//! is named `weir-…` or carries that mark. What carries plans out is `run::plan`.

pub mod kubernetes;
pub mod nft;
pub mod ovs;
pub mod rss;
pub mod split;
pub mod suricata;
pub mod target;
pub mod tc;
pub mod terraform;
pub mod value;
pub mod zeek;

use std::fmt::{self, Write};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What is to be done, in order, and what it is for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plan {
    /// The mark of all that it makes: `weir-…`.
    pub name: String,
    /// What a reader should know, a sentence each.
    pub about: Vec<String>,
    /// What is done.
    pub steps: Vec<Step>,
    /// Interfaces of this machine that must be there: nftables takes rules for others too, which then do nothing.
    pub interfaces: Vec<String>,
    /// Texts with their titles that are printed instead of the commands, to be sent where they belong.
    pub documents: Vec<(String, String)>,
}

/// One thing that is made, and taken back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Step {
    /// In a few words, what it makes.
    pub what: String,
    /// Whose it is.
    pub owner: Owner,
    /// How to see that it is there; `None` for settings, which are set again.
    pub present: Option<Probe>,
    /// Makes it.
    pub apply: Vec<Action>,
    /// Takes it back.
    pub undo: Vec<Action>,
    /// It is taken back only where this holds: others may have come to use it.
    pub undo_if: Option<Probe>,
    /// It is made only where this holds, and what is wrong where it does not.
    pub apply_if: Option<(Probe, String)>,
}

/// Whose a thing is that is already there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Owner {
    /// It bears our name, so it is of an earlier plan, and is made anew.
    Ours,
    /// Anybody may have made it: it is used, and not taken back.
    Shared,
}

/// What a step does.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Action {
    /// A program is run.
    Run(Call),
    /// A file is written, unless there is one that weir has not written.
    Write {
        /// Where.
        path: PathBuf,
        /// All that it holds; [`FILE_MARK`] is in it.
        text: String,
    },
    /// A file is removed, if weir has written it.
    Remove {
        /// Which.
        path: PathBuf,
    },
}

/// A program with its arguments; no shell is between.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Call {
    /// Its name, as it is found in PATH.
    pub program: String,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// What it reads.
    pub input: Option<String>,
}

/// How to see that something holds.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Probe {
    /// The program succeeds and what it prints has this in it.
    Prints(Call, String),
    /// The programs succeed and print nothing.
    Silent(Vec<Call>),
    /// A file holds exactly this.
    Holds(PathBuf, String),
}

/// What each file that weir writes has in its first line.
pub const FILE_MARK: &str = "written by weir plan";

impl Call {
    /// A call of a program with arguments that are separated by blanks; what may hold a blank is added by [`Call::with`].
    pub fn new(program: &str, arguments: &str) -> Self {
        Self {
            program: program.to_owned(),
            arguments: arguments.split_whitespace().map(str::to_owned).collect(),
            input: None,
        }
    }

    /// With one more argument.
    pub fn with(mut self, argument: impl Into<String>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// With something to read.
    pub fn reading(mut self, input: String) -> Self {
        self.input = Some(input);
        self
    }
}

/// As a line of a shell, everything quoted that needs it.
impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.program)?;
        for argument in &self.arguments {
            write!(f, " {}", quoted(argument))?;
        }
        match &self.input {
            Some(input) => write!(f, " <<'WEIR'\n{}\nWEIR", input.trim_end()),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Run(call) => call.fmt(f),
            Self::Write { path, text } => {
                write!(f, "cat > {} <<'WEIR'\n{}\nWEIR", quoted(&path.to_string_lossy()), text.trim_end())
            }
            Self::Remove { path } => write!(f, "rm -f {}", quoted(&path.to_string_lossy())),
        }
    }
}

impl From<Call> for Action {
    fn from(call: Call) -> Self {
        Self::Run(call)
    }
}

impl Step {
    /// A step of one call each way that makes something of ours.
    pub fn ours(what: impl Into<String>, present: Probe, apply: Call, undo: Call) -> Self {
        Self {
            what: what.into(),
            owner: Owner::Ours,
            present: Some(present),
            apply: vec![apply.into()],
            undo: vec![undo.into()],
            undo_if: None,
            apply_if: None,
        }
    }

    /// A setting: set each time, and set back to what it was; `before` is `None` where that is not known.
    pub fn setting(what: impl Into<String>, apply: Call, before: Option<Call>) -> Self {
        Self {
            what: what.into(),
            owner: Owner::Ours,
            present: None,
            apply: vec![apply.into()],
            undo: before.into_iter().map(Action::from).collect(),
            undo_if: None,
            apply_if: None,
        }
    }

    /// A file.
    pub fn file(path: PathBuf, text: String) -> Self {
        Self {
            what: path.display().to_string(),
            owner: Owner::Ours,
            present: Some(Probe::Holds(path.clone(), text.clone())),
            apply: vec![Action::Write { path: path.clone(), text }],
            undo: vec![Action::Remove { path }],
            undo_if: None,
            apply_if: None,
        }
    }
}

impl Plan {
    /// The same for the same plan: what is applied again with nothing changed is left alone.
    pub fn digest(&self) -> u64 {
        let mut text = String::new();
        for action in self.steps.iter().flat_map(|step| &step.apply) {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{action}");
        }
        digest(&text)
    }

    /// A plan of files, which are printed as they are.
    pub fn of_files(name: String, about: Vec<String>, files: Vec<(PathBuf, String)>) -> Self {
        let documents = files.iter().map(|(path, text)| (path.display().to_string(), text.clone())).collect();
        let mark = |text: &str| format!("# {FILE_MARK} {name}\n{text}");
        let steps = files.into_iter().map(|(path, text)| Step::file(path, mark(&text))).collect();
        Self { name, about, steps, interfaces: Vec::new(), documents }
    }

    /// As a script for a shell that applies the plan, with how it is taken back in comments; or its documents.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for line in &self.about {
            let _ = writeln!(text, "# {line}");
        }
        if !self.documents.is_empty() {
            for (title, document) in &self.documents {
                if self.documents.len() > 1 {
                    let _ = writeln!(text, "\n# {title}");
                }
                let _ = writeln!(text, "{}", document.trim_end());
            }
            return text;
        }
        text.push_str("set -e\n");
        for step in &self.steps {
            let _ = writeln!(text, "\n# {}", step.what);
            for action in &step.apply {
                let _ = writeln!(text, "{action}");
            }
        }
        text.push_str("\n# to take it back:\n");
        for action in self.steps.iter().rev().flat_map(|step| &step.undo) {
            for line in action.to_string().lines() {
                let _ = writeln!(text, "#   {line}");
            }
        }
        text
    }
}

/// FNV-1a of 64 bits: tells plans apart, keeps no secrets.
pub fn digest(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// One word of a shell.
pub fn quoted(word: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_./:,=@%+".contains(&b);
    if !word.is_empty() && word.bytes().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_a_shell_would_take_apart_is_quoted() {
        assert_eq!(quoted("options:key=7"), "options:key=7");
        assert_eq!(quoted("a b; rm $x"), "'a b; rm $x'");
        assert_eq!(quoted("it's"), "'it'\\''s'");
        assert_eq!(quoted(""), "''");
        assert_eq!(quoted("~"), "'~'");
    }

    #[test]
    fn a_call_is_a_line_of_a_shell_and_its_input_a_here_document() {
        let call = Call::new("nft", "-f -").reading("table x\n".into());
        assert_eq!(call.to_string(), "nft -f - <<'WEIR'\ntable x\nWEIR");
    }

    #[test]
    fn a_plan_of_files_alone_is_their_text_and_another_one_a_script() {
        let files = vec![("x.tf".into(), "resource {}\n".into())];
        let plan = Plan::of_files("weir-x".into(), vec!["Why.".into()], files);
        assert_eq!(plan.text(), "# Why.\nresource {}\n");
        let file = plan.steps[0].clone();
        let call = Step::setting(
            "rings",
            Call::new("ethtool", "-G e rx 4"),
            Some(Call::new("ethtool", "-G e rx 2")),
        );
        let plan = Plan { steps: vec![file, call], documents: Vec::new(), ..plan };
        let text = plan.text();
        assert!(
            text.contains(
                "set -e\n\n# x.tf\ncat > x.tf <<'WEIR'\n# written by weir plan weir-x\nresource {}\nWEIR\n"
            ),
            "{text}"
        );
        assert!(text.ends_with("#   ethtool -G e rx 2\n#   rm -f x.tf\n"), "{text}");
    }
}
