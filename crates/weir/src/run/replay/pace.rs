//! When a frame is due.

use std::str::FromStr;
use std::time::Duration;

use weir_wire::Time;

/// How fast frames are played.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Speed {
    /// So many times as fast as they were captured.
    Times(f64),
    /// So many bits of frames each second.
    Bits(f64),
    /// So many frames each second.
    Frames(f64),
    /// As fast as the interface takes them.
    Top,
}

impl FromStr for Speed {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong =
            || anyhow::anyhow!("{text:?} is no speed: 2x, 500mbit, 10gbit, 64kbit, 20000pps or topspeed");
        if text == "topspeed" {
            return Ok(Self::Top);
        }
        let unit = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        let number: f64 = text.strip_suffix(unit).and_then(|n| n.parse().ok()).ok_or_else(wrong)?;
        if !(number > 0.0 && number.is_finite()) {
            return Err(wrong());
        }
        Ok(match unit {
            "x" => Self::Times(number),
            "bit" => Self::Bits(number),
            "kbit" => Self::Bits(number * 1e3),
            "mbit" => Self::Bits(number * 1e6),
            "gbit" => Self::Bits(number * 1e9),
            "pps" => Self::Frames(number),
            _ => return Err(wrong()),
        })
    }
}

/// The times of the frames of one round. Every time counts from the start, so that what one frame is late does not make the
/// next one late.
pub struct Pace {
    speed: Speed,
    first: Option<Time>,
    frames: u64,
    bytes: u64,
    last: Duration,
}

impl Pace {
    pub fn new(speed: Speed) -> Self {
        Self { speed, first: None, frames: 0, bytes: 0, last: Duration::ZERO }
    }

    /// How long after the start the next frame is due: never before the one that was asked for before it, though its
    /// time may be earlier.
    pub fn due(&mut self, time: Time, len: usize) -> Duration {
        let first = *self.first.get_or_insert(time);
        let seconds = match self.speed {
            Speed::Times(times) => time.since(first).as_secs_f64() / times,
            Speed::Bits(rate) => self.bytes as f64 * 8.0 / rate,
            Speed::Frames(rate) => self.frames as f64 / rate,
            Speed::Top => 0.0,
        };
        self.frames += 1;
        self.bytes += len as u64;
        // What is further away than a Duration holds is not waited for in anyone's life.
        let due = Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::from_hours(1 << 20));
        self.last = self.last.max(due);
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dues(speed: &str, frames: &[(i64, usize)]) -> Vec<u64> {
        let mut pace = Pace::new(speed.parse().unwrap());
        frames.iter().map(|(ms, len)| pace.due(Time(ms * 1_000_000), *len).as_millis() as u64).collect()
    }

    #[test]
    fn frames_are_due_by_their_times_their_bits_or_their_number() {
        let frames = [(1_000, 1_000), (1_500, 2_000), (1_400, 500), (3_000, 1)];
        assert_eq!(dues("1x", &frames), [0, 500, 500, 2_000], "one that is out of order does not go back");
        assert_eq!(dues("2x", &frames), [0, 250, 250, 1_000]);
        assert_eq!(dues("8kbit", &frames), [0, 1_000, 3_000, 3_500]);
        assert_eq!(dues("10pps", &frames), [0, 100, 200, 300]);
        assert_eq!(dues("topspeed", &frames), [0; 4]);
        assert_eq!(dues("0.000001x", &[(i64::MIN >> 24, 1), (i64::MAX >> 24, 1)]).len(), 2);
    }

    #[test]
    fn what_is_no_speed_is_said_with_what_is_one() {
        for text in ["", "x", "0x", "-1x", "1", "1mbps", "infx", "1..2x", "topspeed1"] {
            let error = text.parse::<Speed>().unwrap_err().to_string();
            assert!(error.contains("500mbit"), "{text}: {error}");
        }
        assert_eq!("1.5gbit".parse::<Speed>().unwrap(), Speed::Bits(1.5e9));
    }
}
