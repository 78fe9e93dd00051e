//! The screen. Wide terminals have workers and reasons side by side, narrow ones below each other; what does not fit is cut, and
//! says so.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Cell, Paragraph, Row, Table};

use super::super::sense::snapshot::{PairSnapshot, Snapshot};
use super::super::summary::Grouped;
use super::view::{LOSSES, ReasonRow, View, WorkerRow};

/// From here on two tables stand side by side.
const WIDE: u16 = 120;
/// A ring that is fuller than this is shown so.
const FULL: f64 = 0.8;
/// A worker that is silent for longer is shown so.
const SILENT: f64 = 2.0;
const BAD: Style = Style::new().fg(Color::Red).add_modifier(Modifier::BOLD);
const DIM: Style = Style::new().add_modifier(Modifier::DIM);
const HEAD: Style = Style::new().add_modifier(Modifier::BOLD);

/// Draws all.
pub fn screen(frame: &mut Frame<'_>, view: &View) {
    let rows = Layout::vertical([Constraint::Length(2), Constraint::Min(0), Constraint::Length(1)]);
    let [head, body, foot] = rows.areas(frame.area());
    frame.render_widget(Paragraph::new(header(view)), head);
    frame.render_widget(Paragraph::new(footer(view)), foot);
    let Some(snapshot) = &view.now else { return };
    let (workers, reasons) = (view.workers(), view.reasons());
    let tall = |rows: usize, most: u16| (rows as u16).saturating_add(2).clamp(3, most.max(3));
    if body.width >= WIDE {
        let upper = tall(workers.len().max(reasons.len()), body.height / 2);
        let [upper, lower] = Layout::vertical([Constraint::Length(upper), Constraint::Min(0)]).areas(body);
        let [left, right] = Layout::horizontal([Constraint::Fill(1); 2]).areas(upper);
        draw_workers(frame, left, view, &workers);
        draw_reasons(frame, right, &reasons);
        busiest(frame, lower, view, snapshot);
    } else {
        let heights = [
            Constraint::Length(tall(workers.len(), body.height * 2 / 5)),
            Constraint::Length(tall(reasons.len(), body.height / 4)),
            Constraint::Min(0),
        ];
        let [upper, middle, lower] = Layout::vertical(heights).areas(body);
        draw_workers(frame, upper, view, &workers);
        draw_reasons(frame, middle, &reasons);
        busiest(frame, lower, view, snapshot);
    }
}

fn header(view: &View) -> Vec<Line<'static>> {
    let Some(s) = &view.now else {
        let why = view.trouble.clone().unwrap_or_default();
        return vec![Line::from("weir top"), Line::styled(why, BAD)];
    };
    let up = humantime::format_duration(std::time::Duration::from_secs(s.uptime as u64));
    let workers = s.workers.len();
    let mut first = vec![
        Span::styled(format!("weir {}", s.version), HEAD),
        Span::raw(format!("  process {}, up {up}, {workers} workers, split by {}", s.pid, s.balance)),
    ];
    if view.paused {
        first.push(Span::styled("  paused", HEAD));
    }
    let rows = view.workers();
    let sum = |of: fn(&WorkerRow) -> f64| rows.iter().map(of).sum::<f64>();
    let (packets, drops) = (sum(|row| row.packets), sum(|row| row.drops));
    let second = match &view.trouble {
        Some(why) => vec![Span::styled(why.clone(), BAD)],
        None => vec![
            Span::styled(format!("{} packets/s  {}  ", number(packets), bits(sum(|row| row.bits))), HEAD),
            Span::styled(
                format!("{} lost/s ({:.1} %)  ", number(drops), 100.0 * drops / (packets + drops).max(1.0)),
                if drops > 0.0 { BAD } else { Style::new() },
            ),
            Span::raw(format!("{} flows", Grouped(s.flows as u64))),
        ],
    };
    vec![first.into(), second.into()]
}

fn footer(view: &View) -> Line<'static> {
    let by = if view.by_packets { "packets" } else { "bytes" };
    let text = format!("q end  p pause  s workers by {}  r pairs by {by}", view.order.name());
    Line::styled(text, DIM)
}

fn table<'a>(title: String, head: &[&'static str], rows: Vec<Row<'a>>, widths: &[Constraint]) -> Table<'a> {
    let mut names: Vec<Cell<'_>> = Vec::new();
    for (index, name) in head.iter().enumerate() {
        let line = Line::from(*name);
        names.push(Cell::from(if index == 0 { line } else { line.right_aligned() }));
    }
    let block = Block::new().borders(Borders::TOP).title(title).border_style(DIM);
    Table::new(rows, widths.to_vec()).header(Row::new(names).style(HEAD)).block(block).column_spacing(1)
}

/// Rows that fit below a title and a head, and how many do not.
fn fit<T>(rows: &[T], area: Rect) -> (&[T], usize) {
    let room = usize::from(area.height.saturating_sub(2));
    let shown = rows.get(..room).unwrap_or(rows);
    (shown, rows.len() - shown.len())
}

fn titled(what: &str, left: usize) -> String {
    if left == 0 { format!("{what} ") } else { format!("{what} ({left} more) ") }
}

fn right(text: String) -> Cell<'static> {
    Cell::from(Line::from(text).right_aligned())
}

fn draw_workers(frame: &mut Frame<'_>, area: Rect, view: &View, rows: &[WorkerRow]) {
    let (shown, left) = fit(rows, area);
    let row = |row: &WorkerRow| {
        let fill = row.fill.map_or_else(|| "-".into(), |fill| format!("{:.0} %", 100.0 * fill));
        let bad = |is: bool| if is { BAD } else { Style::new() };
        let name = if row.silent_for > SILENT {
            format!("{} silent {:.0} s", row.worker, row.silent_for)
        } else {
            row.worker.to_string()
        };
        Row::new([
            Cell::from(name).style(bad(row.silent_for > SILENT)),
            right(number(row.packets)),
            right(bits(row.bits)),
            right(number(row.drops)).style(bad(row.drops > 0.0)),
            right(fill).style(bad(row.fill.is_some_and(|fill| fill > FULL))),
            right(Grouped(row.flows as u64).to_string()),
        ])
    };
    let head = ["worker", "packets/s", "rate", "lost/s", "ring", "flows"];
    let widths = [
        Constraint::Min(8),
        Constraint::Length(12),
        Constraint::Length(13),
        Constraint::Length(11),
        Constraint::Length(6),
        Constraint::Length(11),
    ];
    let title = titled(&format!("Workers by {}", view.order.name()), left);
    frame.render_widget(table(title, &head, shown.iter().map(row).collect(), &widths), area);
}

fn draw_reasons(frame: &mut Frame<'_>, area: Rect, rows: &[ReasonRow]) {
    let (shown, left) = fit(rows, area);
    let row = |row: &ReasonRow| {
        let bad = row.rate > 0.0 && LOSSES.contains(&row.reason.as_str());
        Row::new([
            Cell::from(row.reason.clone()),
            right(row.hop.clone()),
            right(number(row.rate)),
            right(Grouped(row.total).to_string()),
        ])
        .style(if bad { BAD } else { Style::new() })
    };
    let head = ["reason", "hop", "packets/s", "total"];
    let widths = [Constraint::Min(12), Constraint::Length(8), Constraint::Length(12), Constraint::Length(15)];
    let title = titled("Packets that ended", left);
    frame.render_widget(table(title, &head, shown.iter().map(row).collect(), &widths), area);
}

/// Services and pairs of hosts.
fn busiest(frame: &mut Frame<'_>, area: Rect, view: &View, snapshot: &Snapshot) {
    let parts = [Constraint::Length(28), Constraint::Length(2), Constraint::Min(0)];
    let [left, _, right_side] = Layout::horizontal(parts).areas(area);
    let b = &snapshot.busiest;
    let per_second = |bytes: u64| bits(8.0 * bytes as f64 / f64::from(b.seconds.max(1)));
    let (shown, more) = fit(&b.services, left);
    let service = |s: &super::super::sense::snapshot::ServiceSnapshot| {
        let name = if s.service.is_empty() { "(not known)" } else { &s.service };
        Row::new([Cell::from(name.to_owned()), right(per_second(s.bytes))])
    };
    let widths = [Constraint::Min(8), Constraint::Length(13)];
    let rows = shown.iter().map(service).collect();
    frame.render_widget(table(titled("Services", more), &["service", "rate"], rows, &widths), left);
    let mut pairs: Vec<&PairSnapshot> = b.pairs.iter().collect();
    if view.by_packets {
        pairs.sort_by_key(|pair| std::cmp::Reverse(pair.packets));
    }
    let (shown, more) = fit(&pairs, right_side);
    let packets = |packets: u64| number(packets as f64 / f64::from(b.seconds.max(1)));
    let pair = |p: &&PairSnapshot| {
        let hosts = format!("{} - {}", p.low, p.high);
        Row::new([Cell::from(hosts), right(packets(p.packets)), right(per_second(p.bytes))])
    };
    let widths = [Constraint::Min(20), Constraint::Length(10), Constraint::Length(13)];
    let rows = shown.iter().map(pair).collect();
    let head = ["pair of hosts", "packets/s", "rate"];
    frame.render_widget(table(titled("Pairs", more), &head, rows, &widths), right_side);
}

/// A rate in whole numbers; one that is not 0 is not shown as 0.
fn number(rate: f64) -> String {
    if rate > 0.0 && rate < 1.0 { format!("{rate:.1}") } else { Grouped(rate.round() as u64).to_string() }
}

/// Bits per second.
fn bits(rate: f64) -> String {
    let units = ["bit/s", "kbit/s", "Mbit/s", "Gbit/s"];
    let mut value = rate;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    let digits = usize::from(unit > 0 && value < 100.0);
    format!("{value:.digits$} {}", units.get(unit).copied().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::super::view::tests::snapshot;
    use super::*;

    fn drawn(view: &View, width: u16, height: u16) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| screen(frame, view)).unwrap();
        let buffer = terminal.backend().buffer().clone();
        let symbols: Vec<_> = buffer.content().iter().map(ratatui::buffer::Cell::symbol).collect();
        symbols.chunks(usize::from(width)).map(|line| line.concat().trim_end().to_owned()).collect()
    }

    fn view(workers: usize) -> View {
        let mut view = View::default();
        view.take(Ok(snapshot(workers, 10)));
        view.take(Ok(snapshot(workers, 12)));
        view
    }

    #[test]
    fn a_narrow_screen_shows_everything_below_each_other() {
        let lines = drawn(&view(2), 80, 24);
        assert_eq!(lines[0], "weir 0.1.0  process 77, up 12s, 2 workers, split by fanout");
        assert_eq!(lines[1], "3 000 packets/s  2.0 Mbit/s  1 lost/s (0.0 %)  300 flows");
        let at = |start: &str| lines.iter().position(|line| line.starts_with(start)).unwrap();
        assert!(
            at("Workers by number") < at("Packets that ended") && at("Packets that ended") < at("Services")
        );
        let worker = &lines[at("1 ")];
        let cells: Vec<_> = worker.split_whitespace().collect();
        assert_eq!(cells, ["1", "2", "000", "1.0", "Mbit/s", "1", "25", "%", "99"]);
        assert!(lines[at("kernel_dropped")].contains("tap"), "{lines:#?}");
        assert!(lines.iter().any(|line| line.contains("10.0.0.1 - 2001:db8::1")), "{lines:#?}");
        assert!(lines.iter().any(|line| line.starts_with("(not known)")), "{lines:#?}");
        assert!(lines[23].starts_with("q end"));
    }

    #[test]
    fn what_does_not_fit_is_counted_and_a_wide_screen_has_two_tables_side_by_side() {
        let lines = drawn(&view(64), 80, 24);
        assert!(lines.iter().any(|line| line.contains("Workers by number (58 more)")), "{lines:#?}");
        let lines = drawn(&view(4), 160, 50);
        assert!(lines[2].contains("Workers") && lines[2].contains("Packets that ended"), "{lines:#?}");
        assert!(lines.iter().any(|line| line.contains("10.0.0.20 - 2001:db8::1")), "{lines:#?}");
    }

    #[test]
    fn any_size_can_be_drawn_and_trouble_is_told() {
        let mut shown = view(3);
        for (width, height) in [(1, 1), (10, 3), (300, 4), (30, 100)] {
            drawn(&shown, width, height);
        }
        shown.take(Err("no sensor answers at x".into()));
        assert_eq!(drawn(&shown, 80, 24)[1], "no sensor answers at x");
        let mut empty = View::default();
        empty.take(Err("no sensor answers at x".into()));
        assert_eq!(drawn(&empty, 80, 24)[..2], ["weir top".to_owned(), "no sensor answers at x".to_owned()]);
    }

    #[test]
    fn rates_have_units_that_fit() {
        assert_eq!([bits(0.0), bits(999.0), bits(1500.0)], ["0 bit/s", "999 bit/s", "1.5 kbit/s"]);
        assert_eq!([bits(123_456_789.0), bits(4e10)], ["123 Mbit/s", "40.0 Gbit/s"]);
        assert_eq!([number(0.2), number(1234.0)], ["0.2", "1 234"]);
    }
}
