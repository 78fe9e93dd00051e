//! `weir top`: what a sensor does now, on a screen.
//!
//! Promises: it asks the sensor by its control socket, as `weir ctl status` does, and so costs the packet path nothing. It goes on
//! when the sensor ends, and shows the next one that listens there. The terminal is left as it was found, also after a panic.

mod draw;
mod view;

use std::io::{IsTerminal, stdout};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, ensure};
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};

use super::ctl::socket;
use super::sense::control::{Answer, Request, ask};
use super::sense::snapshot::Snapshot;
use super::{Exit, complain};
use crate::cli::top::TopArguments;
use view::View;

/// `weir top`.
pub fn run(arguments: &TopArguments) -> Exit {
    match try_run(arguments) {
        Ok(()) => Exit::Done,
        Err(error) => {
            complain(&error);
            Exit::Usage
        }
    }
}

fn try_run(arguments: &TopArguments) -> anyhow::Result<()> {
    ensure!((0.2..=60.0).contains(&arguments.every), "--every {}: 0.2 to 60 seconds", arguments.every);
    ensure!(
        stdout().is_terminal(),
        "weir top needs a terminal; for programs there is weir ctl status --json"
    );
    let path = socket(arguments.socket.as_deref());
    let mut terminal = ratatui::try_init().context("the terminal cannot be used")?;
    let result = show(&mut terminal, &path, Duration::from_secs_f64(arguments.every));
    ratatui::restore();
    result
}

/// Shows the sensor until the user has seen enough.
fn show(terminal: &mut ratatui::DefaultTerminal, path: &Path, every: Duration) -> anyhow::Result<()> {
    let mut view = View::default();
    let mut next = now();
    loop {
        if now() >= next {
            next = now() + every;
            if !view.paused {
                view.take(status(path).map_err(|error| format!("{error:#}")));
            }
        }
        terminal.draw(|frame| draw::screen(frame, &view)).context("the terminal cannot be drawn on")?;
        let wait = next.saturating_duration_since(now());
        if !event::poll(wait).context("the terminal cannot be listened to")? {
            continue;
        }
        let event = event::read().context("the terminal cannot be listened to")?;
        // A change of the size is drawn by the next round.
        if let Event::Key(key) = event
            && key.kind == KeyEventKind::Press
        {
            let control = key.modifiers.contains(KeyModifiers::CONTROL);
            if !press(&mut view, key.code, control) {
                return Ok(());
            }
        }
    }
}

/// Does what a key says; false where it is to end.
#[allow(clippy::wildcard_enum_match_arm, reason = "other keys mean nothing")]
fn press(view: &mut View, key: KeyCode, control: bool) -> bool {
    match key {
        KeyCode::Char('q') | KeyCode::Esc => return false,
        KeyCode::Char('c') if control => return false,
        KeyCode::Char('p' | ' ') => view.paused = !view.paused,
        KeyCode::Char('s') => view.order = view.order.next(),
        KeyCode::Char('r') => view.by_packets = !view.by_packets,
        _ => {}
    }
    true
}

fn status(path: &Path) -> anyhow::Result<Snapshot> {
    match ask(path, &Request::Status)? {
        Answer::Ok(value) => {
            serde_json::from_value(value).context("the sensor is of another version of weir")
        }
        Answer::Error(why) => Err(anyhow!(why)),
    }
}

#[allow(clippy::disallowed_methods, reason = "a screen lives by the clock")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;
    use view::Order;

    #[test]
    fn keys_end_pause_and_sort() {
        let mut view = View::default();
        assert!(press(&mut view, KeyCode::Char('p'), false) && view.paused);
        assert!(press(&mut view, KeyCode::Char(' '), false) && !view.paused);
        assert!(press(&mut view, KeyCode::Char('s'), false) && view.order == Order::Packets);
        assert!(press(&mut view, KeyCode::Char('c'), false) && press(&mut view, KeyCode::F(1), false));
        assert!(!press(&mut view, KeyCode::Char('c'), true) && !press(&mut view, KeyCode::Char('q'), false));
    }
}
